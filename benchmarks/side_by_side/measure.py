"""Sides in turns: seconds, and how they relate to each other and to the machine's arithmetic."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.rates import measure_rates
from benchmarks.side_by_side.detectron2_side import Detectron2
from benchmarks.side_by_side.mmdetection_side import MMDetection
from benchmarks.side_by_side.ours import Detzoo
from benchmarks.side_by_side.side import Side
from benchmarks.side_by_side.task import Task
from benchmarks.side_by_side.torchvision_side import Torchvision
from detzoo.benchmark.machine import reset_peak_memory, synchronize
from detzoo.benchmark.spread import Spread
from detzoo.devices import autocast, check_precision
from detzoo.train.log import memory_in_use

OTHERS: tuple[type[Side], ...] = (Torchvision, MMDetection, Detectron2)
JOBS = ("inference", "training")


@dataclass(frozen=True)
class Run:
    """One side doing one job in one precision."""

    side: Side
    job: str
    precision: str

    @property
    def name(self) -> str:
        return f"{self.side.toolbox} {self.precision}"

    def prepare(self) -> None:
        self.side.prepare(self.job)

    def __call__(self) -> int:
        """Detections found, or parameters trained: what both sides should have in common."""
        with autocast(self.side.task.device, check_precision(self.precision)):
            if self.job == "training":
                self.side.step()
                return self.side.num_trained
            with torch.inference_mode():
                return self.side.infer()


def measure(runs: Sequence[Run], rounds: int) -> tuple[list[list[float]], list[int], list[float]]:
    """Seconds of each run in each round, after one that does not count; what each run says; and
    the most memory that it took, in GB: on a GPU, its own."""
    seconds: list[list[float]] = [[] for _ in runs]
    said, memory = [0] * len(runs), [0.0] * len(runs)
    for turn in range(rounds + 1):
        for i, run in enumerate(runs):
            run.prepare()
            device = run.side.task.device
            synchronize(device)
            reset_peak_memory(device)
            started = time.perf_counter()
            said[i] = run()
            synchronize(device)
            if turn:
                seconds[i].append(time.perf_counter() - started)
            memory[i] = max(memory[i], memory_in_use(device))
    return seconds, said, memory


def compare(
    ours: Detzoo, others: Sequence[Side], job: str, precisions: Sequence[str], rounds: int
) -> list[dict[str, Any]]:
    """A row per run. Ratios are to torchvision's float32, or to ours where it has no such model."""
    runs = [Run(side, job, precision) for precision in precisions for side in (ours, *others)]
    task = ours.task
    rates = {p: measure_rates(p, task.device).convolution for p in precisions}
    seconds, said, memory = measure(runs, rounds)
    for precision in precisions:  # once more: a machine's pace changes
        rates[precision] = max(rates[precision], measure_rates(precision, task.device).convolution)
    base = min(1, len(others))
    operations = ours.count_operations(job)
    rows = []
    for run, own, number, peak in zip(runs, seconds, said, memory):
        ratios = sorted(theirs / mine for theirs, mine in zip(seconds[base], own))
        spread = Spread.of(own)
        rate = operations / spread.median / 1e9
        row = {
            "model": task.model,
            "job": job,
            "toolbox": run.side.toolbox,
            "precision": run.precision,
            "seconds": spread.to_json(),
            "times_as_fast": Spread.of(ratios).to_json(),
            "gflop": operations / 1e9,
            "gflop_per_second": rate,
            "best_convolution_gflop_per_second": rates[run.precision],
            "part_of_best": rate / rates[run.precision],
            "number": number,
            "memory_gb": peak,
        }
        rows.append(row)
        print(
            f"{task.model:12} {job:10} {run.name:18} {spread.median:7.3f} s "
            f"({min(own):.3f} to {max(own):.3f})  {Spread.of(ratios).median:5.2f} times as fast "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f})  {rate:6.1f} GFLOP/s, "
            f"{100 * row['part_of_best']:5.1f} % of a convolution's  [{number}]",
            flush=True,
        )
    return rows


def other_sides(task: Task) -> list[Side]:
    """Of every other toolbox that is installed and has the model."""
    found = []
    for toolbox in OTHERS:
        try:
            side = toolbox.make(task)
        except ImportError as error:
            print(f"{toolbox.toolbox}: not installed ({error})", file=sys.stderr)
            continue
        if side is not None:
            found.append(side)
    return found


def compare_model(
    task: Callable[[], Task], jobs: Sequence[str], precisions: Sequence[str], rounds: int
) -> list[dict[str, Any]]:
    """The rows of all jobs of one model."""
    given = task()
    ours, others = Detzoo.make(given), other_sides(given)
    return [row for job in jobs for row in compare(ours, others, job, precisions, rounds)]
