"""Our own inference beside that of exported files, in turns, in one run on a CPU.

    python -m benchmarks.runtimes [MODEL ...] [--size H W] [--precisions fp32 bf16 int8]
        [--rounds 7] [--threads 2] [--json F]

Everyone has the same weights, of which an image has about 100 detections, and the same normalized
pixels of one image. *whole* is from these to detections, *dense* all layers up to the predictions
of the head, in which a program spends nearly all of its time. The process keeps freed memory, as
``detzoo`` does.
"""

from __future__ import annotations

import argparse
import functools
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from benchmarks.record import write_result
from benchmarks.side_by_side.task import NUM_CLASSES, Task
from detzoo import zoo
from detzoo.benchmark.spread import Spread
from detzoo.cli.main import keep_freed_memory
from detzoo.detectors.base import Detector
from detzoo.devices import Precision, autocast
from detzoo.export.frame import framed
from detzoo.export.onnx import write_onnx
from detzoo.export.openvino import convert_onnx
from detzoo.export.program import capture, quiet
from detzoo.export.quantize import Inputs, quantize
from detzoo.export.static import StaticDetector
from detzoo.inference.exported import Details, ExportPrecision
from detzoo.inference.runtimes import open_exported
from detzoo.layers.fusion import fuse
from detzoo.structures import ImageBatch

ONNX_PRECISIONS: tuple[ExportPrecision, ...] = ("fp32", "int8")
OPENVINO_PRECISIONS: tuple[ExportPrecision, ...] = ("fp32", "bf16", "int8")
EAGER: tuple[Precision, ...] = ("fp32", "bf16")
PRECISIONS = ("fp32", "bf16", "int8")
MODELS = ("retinanet", "yolox_s")
# Images by which the ranges of int8 are set, the one that is timed among them.
NUM_CALIBRATION = 4


class Contender(NamedTuple):
    """Runs one ``part`` of a model."""

    part: str
    runtime: str
    precision: str
    run: Callable[[], object]


class Dense(nn.Module):
    """The predictions of a detector's head, as a tuple of tensors."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, pixels: Tensor, sizes: Tensor) -> tuple[Tensor, ...]:
        """Of pixels (B, 3, H, W); ``sizes`` only make it look like a detector."""
        head: Any = self.detector.get_submodule("bbox_head")
        predictions = head(self.detector.extract_features(pixels))
        found = (predictions.cls_logits, predictions.box_deltas, predictions.quality_logits)
        return tuple(values for values in found if values is not None)


def contenders(task: Task, precisions: Collection[str], folder: Path) -> Iterator[Contender]:
    """All that run the model of ``task`` in ``precisions``, of which fp32 is one; files are written
    to ``folder``."""
    model = task.config.build(NUM_CLASSES)
    model.load_state_dict(task.weights)
    model.eval()
    images = model.preprocess(task.seen)
    fused = fuse(model.to(memory_format=torch.channels_last))
    experiment = framed(zoo.find(task.subject.entry).experiment, task.size)
    sizes = torch.tensor([task.size])
    calibration = model.preprocess(task.batch).pixels.contiguous().numpy()
    inputs: list[Inputs] = [{"pixels": one[None], "sizes": sizes.numpy()} for one in calibration]
    details = Details(experiment, task.size)
    with quiet(), torch.no_grad():
        given = (images.pixels.contiguous(), sizes)
        programs = {
            "whole": capture(StaticDetector(model), details),
            "dense": torch.export.export(Dense(model), given),
        }
    pixels = images.pixels.contiguous().numpy()
    for part, program in programs.items():
        for low in EAGER:
            if low in precisions:
                run = functools.partial(_eager, fused, images, part, low)
                yield Contender(part, "detzoo", low, run)
        for runtime, precision, file in _files(program, details, precisions, inputs, folder / part):
            opened = open_exported(file, torch.get_num_threads())
            ready = functools.partial(opened.run, pixels, sizes.numpy())
            yield Contender(part, runtime, precision, ready)


def _files(
    program: ExportedProgram,
    details: Details,
    precisions: Collection[str],
    inputs: Sequence[Inputs],
    folder: Path,
) -> Iterator[tuple[str, str, Path]]:
    """The runtime, precision and file of each form of ``program``: those for OpenVINO are made of
    those for ONNX Runtime, in bf16 of that in fp32."""
    folder.mkdir()
    onnx_files = {low: folder / f"{low}.onnx" for low in ONNX_PRECISIONS if low in precisions}
    write_onnx(program, onnx_files["fp32"], details)
    if "int8" in onnx_files:
        quantize(onnx_files["fp32"], onnx_files["int8"], inputs)
    for low, file in onnx_files.items():
        yield "ONNX Runtime", low, file
    for low in OPENVINO_PRECISIONS:
        if low in precisions:
            file = folder / f"{low}.xml"
            source = onnx_files.get(low, onnx_files["fp32"])
            convert_onnx(source, file, replace(details, precision=low))
            yield "OpenVINO", low, file


def _eager(model: Detector, images: ImageBatch, part: str, precision: Precision) -> object:
    head: Any = model.get_submodule("bbox_head")
    with torch.inference_mode(), autocast(model.device, precision):
        features = model.extract_features(images.pixels)
        return model.detect(features, images) if part == "whole" else head(features)


def measure(runs: Sequence[Contender], rounds: int) -> list[dict[str, Any]]:
    """A row for each, after a round that does not count; ratios are to our own fp32."""
    seconds: list[list[float]] = [[] for _ in runs]
    for turn in range(rounds + 1):
        for own, contender in zip(seconds, runs):
            started = time.perf_counter()
            contender.run()
            if turn:
                own.append(time.perf_counter() - started)
    base = {
        one.part: own
        for one, own in zip(runs, seconds)
        if (one.runtime, one.precision) == ("detzoo", "fp32")
    }
    return [
        {
            "part": one.part,
            "runtime": one.runtime,
            "precision": one.precision,
            "seconds": Spread.of(own).to_json(),
            "times_as_fast": Spread.of([b / o for b, o in zip(base[one.part], own)]).to_json(),
            "fastest": min(own),
        }
        for one, own in zip(runs, seconds)
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(MODELS))
    parser.add_argument("--size", nargs=2, type=int, metavar=("H", "W"))
    parser.add_argument(
        "--precisions",
        nargs="+",
        choices=PRECISIONS,
        default=list(PRECISIONS),
        help="fp32 is always there",
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    unknown = [name for name in options.models if name not in MODELS]
    if unknown:
        parser.error(f"no model is called {', '.join(unknown)}; there are {', '.join(MODELS)}")
    torch.set_num_threads(options.threads)
    rows: list[dict[str, Any]] = []
    for name in options.models or MODELS:
        size = tuple(options.size) if options.size else None
        task = Task.make(name, NUM_CALIBRATION, torch.device("cpu"), size=size)
        with tempfile.TemporaryDirectory() as folder:
            runs = list(contenders(task, {"fp32", *options.precisions}, Path(folder)))
            found = measure(runs, options.rounds)
        entry, shape = task.subject.entry, list(task.size)
        rows += [{"model": entry, "size": shape, **row} for row in found]
        for row in found:
            print(
                f"{name:10} {row['part']:6} {row['runtime']:13} {row['precision']:5} "
                f"{row['seconds']['median']:7.3f} s, fastest {row['fastest']:.3f}  "
                f"{row['times_as_fast']['median']:5.2f} times as fast as detzoo fp32",
                flush=True,
            )
    if options.json:
        write_result(options.json, "runtimes", rows)


if __name__ == "__main__":
    keep_freed_memory()
    main()
