"""Our operators against their straightforward formulations: milliseconds, medians.

Both compute the same numbers from the same inputs, which is checked first; runs are interleaved.

    python -m benchmarks.ops [NAME ...] [--rounds 7] [--device cpu] [--json FILE]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from benchmarks.ops import attention, maps, matching, regions
from benchmarks.ops.pair import Run
from benchmarks.record import write_result
from detzoo.benchmark.machine import synchronize


@dataclass(frozen=True)
class Comparison:
    """Two ways to the same result. ``prepare`` makes the inputs on a device and returns both."""

    on: str
    prepare: Callable[[torch.device], tuple[Run, Run]]


COMPARISONS: dict[str, Comparison] = {
    "deformable_attention": Comparison(
        "encoder layer of Deformable DETR, inference",
        partial(attention.prepare, training=False),
    ),
    "deformable_attention_training": Comparison(
        "the same, forward and backward",
        partial(attention.prepare, training=True),
    ),
    "corner_pooling": Comparison(
        "two directions of CornerNet, 128 channels, 128 x 128, inference",
        partial(maps.prepare_corner_pooling, training=False),
    ),
    "corner_pooling_training": Comparison(
        "the same, forward and backward",
        partial(maps.prepare_corner_pooling, training=True),
    ),
    "carafe": Comparison(
        "FPN-CARAFE, 256 channels, 50 x 76 to twice the size, inference",
        partial(maps.prepare_carafe, training=False),
    ),
    "carafe_training": Comparison(
        "the same, forward and backward",
        partial(maps.prepare_carafe, training=True),
    ),
    "deformable_convolution": Comparison(
        "256 channels, 50 x 76, with masks, against torchvision, inference",
        partial(maps.prepare_deformable_convolution, training=False),
    ),
    "deformable_convolution_training": Comparison(
        "the same, forward and backward",
        partial(maps.prepare_deformable_convolution, training=True),
    ),
    "roi_align": Comparison(
        f"Faster R-CNN, {regions.REGIONS} regions, against torchvision, inference",
        partial(regions.prepare_roi_align, training=False),
    ),
    "roi_align_training": Comparison(
        "the same, forward and backward",
        partial(regions.prepare_roi_align, training=True),
    ),
    "hungarian": Comparison(
        f"{matching.STAGES} decoder layers, {matching.IMAGES} images, {matching.QUERIES} queries, "
        f"{matching.OBJECTS} objects each",
        matching.prepare_hungarian,
    ),
    "sim_ota": Comparison(
        f"YOLOX, 640 x 640, {matching.CLASSES} classes, {matching.YOLOX_OBJECTS} objects",
        matching.prepare_sim_ota,
    ),
}


def measure(runs: Sequence[Run], rounds: int, device: torch.device) -> list[float]:
    """The median milliseconds of each, run in turns after one round to warm up."""
    times: list[list[float]] = [[] for _ in runs]
    for turn in range(rounds + 1):
        for run, own in zip(runs, times):
            start = time.perf_counter()
            run()
            synchronize(device)
            if turn:
                own.append(1000 * (time.perf_counter() - start))
    return [statistics.median(own) for own in times]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ops", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(COMPARISONS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="write the medians here")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in COMPARISONS]
    if unknown:
        parser.error(
            f"no comparison is called {', '.join(unknown)}; there are {', '.join(COMPARISONS)}"
        )
    device = torch.device(options.device)
    rows = []
    for name in options.names or COMPARISONS:
        comparison = COMPARISONS[name]
        theirs, ours = measure(comparison.prepare(device), options.rounds, device)
        rows.append(
            {"name": name, "on": comparison.on, "straightforward_ms": theirs, "detzoo_ms": ours}
        )
        print(
            f"{name:32} straightforward {theirs:8.1f} ms, detzoo {ours:8.1f} ms, "
            f"{theirs / ours:.2f} times as fast  ({comparison.on})",
            flush=True,
        )
    if options.json is not None:
        write_result(options.json, "ops", rows, device)
    return 0


if __name__ == "__main__":
    sys.exit(main())
