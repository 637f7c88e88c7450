"""What resuming needs: the place in the run, and the state of all that changes with it.

Random numbers need no state. Those of a step follow from the run's seed, the process and the
iteration (:func:`seed_step`), as those of the loader follow from the seed, the epoch and the image.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import nn

from detzoo.checkpoints import checkpoint
from detzoo.checkpoints.architecture import (
    Architecture,
    architecture,
    architecture_of,
    changed_modules,
)
from detzoo.checkpoints.checkpoint import Checkpoint
from detzoo.config import diff
from detzoo.data.hold_out import Division
from detzoo.errors import CheckpointError, ConfigError, UserError
from detzoo.experiment import Experiment
from detzoo.optim.ema import WeightAverage


@dataclass
class Position:
    """Where a run is. Metrics are by name; the best ones are those of ``best.pt``."""

    iteration: int = 0
    steps_per_epoch: int = 0
    best: dict[str, float] = field(default_factory=dict)
    # Evaluations since the best one.
    stale_evaluations: int = 0
    # What the recipe's learning rates were multiplied by; None in older files.
    lr_scale: float | None = None
    # Whether the run was asked to stop before the evaluation at this step was done.
    owes_evaluation: bool = False

    @property
    def epoch(self) -> float:
        """Epochs done, with fractions."""
        return self.iteration / self.steps_per_epoch

    def note(self, metrics: Mapping[str, float], watched: str) -> bool:
        """Notes an evaluation; returns whether its ``watched`` metric was the best so far.

        One that is undefined is never the best.
        """
        best = self.best.get(watched, math.nan)
        if math.isnan(metrics[watched]) or metrics[watched] <= best:
            self.stale_evaluations += 1
            return False
        self.best = dict(metrics)
        self.stale_evaluations = 0
        return True


@dataclass(frozen=True)
class Learner:
    """All objects whose state changes from step to step."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: WeightAverage | None
    # That of the experiment's own detector, from which ``model`` may differ.
    architecture: Architecture

    @classmethod
    def of(cls, experiment: Experiment, model: nn.Module, device: torch.device) -> Learner:
        """What trains ``model``, which is on ``device``, as ``experiment`` says."""
        scaler = torch.amp.GradScaler(
            device.type,
            init_scale=experiment.loss_scale or 2.0**16,
            enabled=experiment.precision == "fp16",
        )
        average = None if experiment.ema is None else experiment.ema.build(model)
        optimizer = experiment.optimizer.build(model)
        return cls(model, optimizer, scaler, average, architecture_of(experiment))

    @property
    def changed_modules(self) -> tuple[str, ...]:
        """The modules of ``model`` that are not those of the experiment's detector, in words."""
        return changed_modules(architecture(self.model), self.architecture)

    @contextlib.contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Inside, the model has the averaged weights, where an average is kept."""
        if self.average is None:
            yield
            return
        self.average.swap(self.model)
        try:
            yield
        finally:
            self.average.swap(self.model)


@contextlib.contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Inside, no other program trains into ``run_dir``; the lock dies with its process.

    Raises :class:`ConfigError` where another one does.
    """
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        lock = FileLock(run_dir / ".lock")
        lock.acquire(blocking=False)
    except Timeout:
        raise ConfigError(
            f"--out {run_dir}: another program is training into this folder. Wait until it is "
            "done, stop it, or give another folder."
        ) from None
    except OSError as error:
        raise UserError(
            f"{run_dir}: cannot be written: {error.strerror}. Choose another folder with --out."
        ) from error
    try:
        yield
    finally:
        lock.release()


def seed_step(seed: int, rank: int, iteration: int) -> None:
    """Makes the random numbers of this step independent of all that was drawn before."""
    mixed = np.random.SeedSequence((seed, rank, iteration)).generate_state(1, np.uint64)
    torch.manual_seed(int(mixed[0]))


def save_last(
    path: Path,
    experiment: Experiment,
    learner: Learner,
    position: Position,
    division: Division | None = None,
) -> None:
    """Writes a checkpoint that training can go on from."""
    average = learner.average
    training = {
        "position": dataclasses.asdict(position),
        "optimizer": learner.optimizer.state_dict(),
        "scaler": learner.scaler.state_dict(),
        "averaged_steps": 0 if average is None else average.steps,
        "buffers": _other_buffers(learner.model),
    }
    content = Checkpoint(
        experiment,
        learner.model.state_dict(),
        None if average is None else average.average,
        training,
        changed_modules=learner.changed_modules,
        division=division,
    )
    checkpoint.save(path, content)


def save_best(
    path: Path, experiment: Experiment, learner: Learner, division: Division | None = None
) -> None:
    """Writes a checkpoint to detect with: the weights that were evaluated."""
    weights, changes = learner.model.state_dict(), learner.changed_modules
    content = Checkpoint(experiment, weights, changed_modules=changes, division=division)
    checkpoint.save(path, content)


def load_last(
    path: Path, experiment: Experiment, learner: Learner, start: Position
) -> tuple[Position, list[str]]:
    """Puts ``learner`` into the state that ``path`` holds. Returns the position there.

    Also says which settings of ``experiment`` are others than those of the run so far; ``start`` is
    the position at which this one would start. Raises :class:`CheckpointError` where the run cannot
    go on: other classes, another model, or epochs of another length.
    """
    _remove_unfinished(path)
    saved = checkpoint.read(path)
    if saved.training is None:
        raise CheckpointError(
            f"{path}: holds weights only, no training to resume. Start a new run from it: "
            f"--weights {path}."
        )
    if saved.class_names != experiment.class_names:
        raise CheckpointError(
            f"{path}: was trained on the classes {', '.join(saved.class_names)}, but the data has "
            f"{', '.join(experiment.class_names)}. Resuming needs the same classes in the same "
            f"order; to start a new run from these weights, use --weights {path}."
        )
    position = Position(**saved.training["position"])
    if position.steps_per_epoch != start.steps_per_epoch:
        raise CheckpointError(
            f"{path}: an epoch was {position.steps_per_epoch} steps long and would now be "
            f"{start.steps_per_epoch}. Resume with the same data, batch size and number of "
            f"processes; to start a new run from these weights, use --weights {path}."
        )
    checkpoint.require_same_changes(learner.changed_modules, saved, path)
    checkpoint.load_strictly(learner.model, saved.model, str(path))
    for name, buffer in _other_buffers(learner.model).items():
        buffer.copy_(saved.training["buffers"][name])
    _load_optimizer(path, learner.optimizer, saved.training["optimizer"])
    if learner.scaler.is_enabled() and saved.training["scaler"]:
        learner.scaler.load_state_dict(saved.training["scaler"])
    if learner.average is not None:
        # A run that begins to average only now starts from the weights that it has.
        averaged = saved.model if saved.ema is None else saved.ema
        for name, value in learner.average.average.items():
            value.copy_(averaged[name])
        learner.average.steps = saved.training["averaged_steps"]
    changes = diff(saved.experiment, experiment)
    if position.lr_scale not in (None, start.lr_scale):
        changes.append(("learning-rate scaling", position.lr_scale, start.lr_scale))
    position.lr_scale = start.lr_scale
    return position, [f"{name} {old!r} -> {new!r}" for name, old, new in changes]


def _other_buffers(model: nn.Module) -> dict[str, torch.Tensor]:
    """Buffers that are not part of published checkpoints, such as what Dynamic R-CNN adapts."""
    weights = model.state_dict()
    return {name: value for name, value in model.named_buffers() if name not in weights}


def _load_optimizer(path: Path, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    try:
        optimizer.load_state_dict(state)
    except (ValueError, KeyError) as error:
        raise CheckpointError(
            f"{path}: its optimizer is another one ({error}). Resume with the optimizer of the "
            f"run, or start a new run from these weights: --weights {path}."
        ) from None


def _remove_unfinished(path: Path) -> None:
    """Removes what a kill in the middle of writing ``path`` left behind."""
    for file in path.parent.glob(f".{path.name}.*.tmp"):
        file.unlink()
