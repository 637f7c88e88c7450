"""One image at a time in every way to run a detector, for ``benchmarks.gpu``."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.side_by_side.ours import Detzoo
from benchmarks.side_by_side.task import Task
from detzoo import zoo
from detzoo.benchmark.machine import reset_peak_memory, synchronize
from detzoo.benchmark.spread import Spread
from detzoo.export.program import capture
from detzoo.export.static import StaticDetector
from detzoo.inference.compiled import compile_detector
from detzoo.inference.exported import Details
from detzoo.structures.images import sizes_of
from detzoo.train.log import memory_in_use

OURS = ("retinanet", "mask_rcnn", "yolox_s", "detr")
QUICK_SIZE = (128, 192)
Row = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    device: torch.device
    quick: bool

    @property
    def size(self) -> tuple[int, int] | None:
        """That of the images, if it is not the subject's own."""
        return QUICK_SIZE if self.quick else None

    @property
    def rounds(self) -> int:
        return 1 if self.quick else 20

    def task(self, model: str, images: int, seen: int = 1) -> Task:
        return Task.make(model, images, self.device, seen, self.size)


def graphs(setting: Setting) -> list[Row]:
    """One image at a time: as it is, with fixed shapes, compiled, and as a CUDA graph."""
    rows = []
    for name in OURS[: 1 if setting.quick else None]:
        for way, make in WAYS.items():
            reset_peak_memory(setting.device)
            row: Row = {"model": name, "way": way}
            try:
                with torch.no_grad():
                    run = make(setting, setting.task(name, 1))
                    row["seconds"] = _time(run, setting).to_json()
                row["memory_gb"] = memory_in_use(setting.device)
            except Exception as error:  # what cannot be is a result
                row["reason"] = f"{type(error).__name__}: {str(error)[:300]}"
            print(row, flush=True)
            rows.append(row)
    return rows


def _time(run: Callable[[], object], setting: Setting) -> Spread:
    seconds = []
    warming = 1 if setting.quick else 3  # to compile, or choose kernels
    for _ in range(warming + setting.rounds):
        synchronize(setting.device)
        started = time.perf_counter()
        run()
        synchronize(setting.device)
        seconds.append(time.perf_counter() - started)
    return Spread.of(seconds[warming:])


def _eager(setting: Setting, task: Task) -> Callable[[], object]:
    model = Detzoo.make(task).model.eval()
    seen = model.preprocess(task.seen)
    return lambda: model(seen)


def _static(setting: Setting, task: Task) -> Callable[[], object]:
    model = Detzoo.make(task).model.eval()
    seen = model.preprocess(task.seen)
    static, sizes = StaticDetector(model), sizes_of(seen.infos).to(setting.device)
    return lambda: static(seen.pixels, sizes)


def _compiled(setting: Setting, task: Task) -> Callable[[], object]:
    model = compile_detector(Detzoo.make(task).model.eval(), _backend(setting))
    seen = model.preprocess(task.seen)
    return lambda: model(seen)


def _compiled_whole(setting: Setting, task: Task) -> Callable[[], object]:
    model = Detzoo.make(task).model.eval()
    seen = model.preprocess(task.seen)
    height, width = seen.pixels.shape[2:]
    details = Details(zoo.find(task.subject.entry).experiment, (height, width))
    program = capture(StaticDetector(model), details).module()
    whole = torch.compile(program, backend=_backend(setting))
    sizes = sizes_of(seen.infos).to(setting.device)
    return lambda: whole(seen.pixels, sizes)


def _cuda_graph(setting: Setting, task: Task) -> Callable[[], object]:
    if setting.device.type != "cuda":
        raise RuntimeError("needs a GPU")
    run = _static(setting, task)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def _backend(setting: Setting) -> str:
    return "aot_eager" if setting.quick else "inductor"


WAYS: dict[str, Callable[[Setting, Task], Callable[[], object]]] = {
    "eager": _eager,
    "fixed shapes": _static,
    "backbone and neck compiled": _compiled,
    "all compiled": _compiled_whole,
    "CUDA graph": _cuda_graph,
}
