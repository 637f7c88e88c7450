"""Training speed: images per second, time per phase of a step, and peak memory."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from detzoo.benchmark.machine import reset_peak_memory, synchronize
from detzoo.benchmark.spread import Spread
from detzoo.data.dataset import DetectionDataset
from detzoo.detectors.base import Detector
from detzoo.devices import autocast
from detzoo.experiment import Experiment
from detzoo.structures import Batch
from detzoo.train.data import open_loader, usable_data
from detzoo.train.distributed import Processes
from detzoo.train.log import memory_in_use

PHASES = ("data", "forward", "backward", "optimizer")
# Steps that are synchronized after every phase; they are not included in the throughput.
PHASE_STEPS = 20


@dataclass(frozen=True)
class TrainingFigures:
    """``seconds`` per step, ``images_per_second`` over all processes, ``phases`` in seconds per
    step.

    Phases are measured in separate steps, since synchronizing after each slows them down.
    ``memory_gb`` is the maximum over all processes.
    """

    name: str
    seconds: Spread
    images_per_second: float
    phases: dict[str, float]
    memory_gb: float
    processes: int


def measure_training(
    name: str,
    experiment: Experiment,
    model: Detector,
    data: DetectionDataset,
    processes: Processes,
    *,
    first: int = 100,
    last: int = 500,
    progress: Callable[[int], None] | None = None,
) -> TrainingFigures:
    """Trains on ``data`` and measures steps ``first`` to ``last``.

    ``progress`` is called with the number of steps done.
    """
    device = processes.device
    model = model.to(device).to(memory_format=torch.channels_last).train()
    step = _Step(experiment, model, processes)
    batches = _endless(experiment, data, processes)
    reset_peak_memory(device)
    times = []
    for number in range(last):
        if number == first:
            synchronize(device)
        started = time.perf_counter()
        step(next(batches))
        if device.type != "cuda" or number == last - 1:
            synchronize(device)
        if number >= first:
            times.append(time.perf_counter() - started)
        if progress is not None:
            progress(number + 1)
    # On a GPU, single steps return before they are done, but many steps cannot run ahead.
    images = experiment.data.images_per_device * processes.count
    per_second = images * len(times) / sum(times)
    memory = torch.tensor(memory_in_use(device), device=device)
    return TrainingFigures(
        name=name,
        seconds=Spread.of(times),
        images_per_second=per_second,
        phases=_phases(step, batches, device),
        memory_gb=float(processes.maximum(memory)),
        processes=processes.count,
    )


class _Step:
    """One optimizer step, as in the training loop."""

    def __init__(self, experiment: Experiment, model: Detector, processes: Processes) -> None:
        self.model = model
        self.parallel = processes.parallel(model)
        self.device = processes.device
        # A learning rate that does not diverge for any weights.
        self.optimizer = experiment.optimizer.build(model)
        for group in self.optimizer.param_groups:
            group["lr"] *= 1e-6
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=experiment.precision == "fp16")
        self.casting = autocast(self.device, experiment.precision)

    def __call__(self, batch: Batch, mark: Callable[[], None] = lambda: None) -> None:
        """Calls ``mark`` after the forward pass, after the backward pass and at the end."""
        on_device = batch.to(self.device)
        with self.casting:
            losses = self.parallel(self.model.preprocess(on_device), on_device.targets)
        loss = losses.total()
        mark()
        self.scaler.scale(loss).backward()
        mark()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        mark()


def _phases(step: _Step, batches: Iterator[Batch], device: torch.device) -> dict[str, float]:
    """Mean seconds of each phase."""
    totals = [0.0] * len(PHASES)
    for _ in range(PHASE_STEPS):
        marks = [time.perf_counter()]

        def mark(marks: list[float] = marks) -> None:
            synchronize(device)
            marks.append(time.perf_counter())

        batch = next(batches)
        mark()
        step(batch, mark)
        for i, (start, end) in enumerate(itertools.pairwise(marks)):
            totals[i] += end - start
    return {name: total / PHASE_STEPS for name, total in zip(PHASES, totals)}


def _endless(
    experiment: Experiment, data: DetectionDataset, processes: Processes
) -> Iterator[Batch]:
    """Training batches, epoch after epoch."""
    loader = open_loader(experiment, usable_data(experiment, data), processes)
    for epoch in itertools.count():
        loader.set_epoch(epoch)
        yield from loader
