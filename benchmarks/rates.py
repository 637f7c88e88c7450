"""What the machine's arithmetic allows: the best rates of matrix products and convolutions.

python -m benchmarks.rates [--device cpu]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F

from detzoo.benchmark.machine import synchronize
from detzoo.devices import resolve_device

# Batch, channels in, channels out, height, width, kernel: layers of an R50-FPN at 800 x 1216.
CONVOLUTIONS = (
    (1, 64, 64, 200, 304, 3),
    (1, 128, 128, 100, 152, 3),
    (1, 256, 256, 200, 304, 3),
    (1, 256, 256, 50, 76, 3),
    (1, 1024, 256, 50, 76, 1),
)
MATRIX = 2048
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Rates:
    """Operations per second, in units of 10^9: the best of all shapes and rounds."""

    matrix_product: float
    convolution: float


def measure_rates(precision: str, device: torch.device, rounds: int = 3) -> Rates:
    """The best rates in "fp32" or "bf16"."""
    dtype = TYPES[precision]
    square = torch.randn((MATRIX, MATRIX), device=device, dtype=dtype)
    product = _best(lambda: square @ square, 2 * MATRIX**3, device, rounds)
    convolution = 0.0
    for shape in CONVOLUTIONS:
        images, inside, outside, height, width, size = shape
        x = torch.randn((images, inside, height, width), device=device, dtype=dtype)
        x = x.contiguous(memory_format=torch.channels_last)
        kernel = torch.randn((outside, inside, size, size), device=device, dtype=dtype)
        kernel = kernel.contiguous(memory_format=torch.channels_last)
        operations = 2 * images * height * width * kernel.numel()

        def run(x: torch.Tensor = x, kernel: torch.Tensor = kernel) -> object:
            return F.conv2d(x, kernel, padding=kernel.shape[-1] // 2)

        convolution = max(convolution, _best(run, operations, device, rounds))
    return Rates(product, convolution)


@torch.inference_mode()
def _best(run: Callable[[], object], operations: int, device: torch.device, rounds: int) -> float:
    """The highest rate of several runs, each long enough to be timed."""
    run()
    best = 0.0
    for _ in range(rounds):
        synchronize(device)
        started, repeats = time.perf_counter(), 0
        while repeats < 3 or time.perf_counter() - started < 0.2:
            run()
            synchronize(device)
            repeats += 1
        best = max(best, repeats * operations / (time.perf_counter() - started) / 1e9)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    device = resolve_device(parser.parse_args().device)
    for precision in TYPES:
        for what, rate in asdict(measure_rates(precision, device)).items():
            print(f"{precision} {what:16} {rate:8.1f} GFLOP/s")


if __name__ == "__main__":
    main()
