"""The state needed for resuming: the position in the run, and everything that changes with it.

Random number generators need no saved state: each step is seeded from the run's seed, the process
and the iteration (:func:`seed_step`), and the loader from the seed, the epoch and the image.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
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
from detzoo.detectors.receptive_fields import ReceptiveFields
from detzoo.errors import CheckpointError, ConfigError, UserError
from detzoo.experiment import Experiment
from detzoo.optim.ema import WeightAverage

# In a run folder, while a program trains there.
LOCK = ".lock"


@dataclass
class Position:
    """The position in a run. Metrics are by name; ``best`` are those of ``best.pt``."""

    iteration: int = 0
    steps_per_epoch: int = 0
    best: dict[str, float] = field(default_factory=dict)
    # Number of evaluations since the best one.
    stale_evaluations: int = 0
    # The factor on the recipe's learning rates; None in older files.
    lr_scale: float | None = None
    # Whether the run was stopped before the evaluation at this step was done.
    owes_evaluation: bool = False

    @property
    def epoch(self) -> float:
        """The fractional number of epochs done."""
        return self.iteration / self.steps_per_epoch

    def note(self, metrics: Mapping[str, float], watched: str) -> bool:
        """Records an evaluation; returns whether its ``watched`` metric was the best so far.

        An undefined metric is never the best.
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
    """The objects whose state changes during training: model, optimizer, averages."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: WeightAverage | None
    # The architecture of the experiment's detector, from which ``model`` may differ.
    architecture: Architecture

    @classmethod
    def of(cls, experiment: Experiment, model: nn.Module, device: torch.device) -> Learner:
        """Creates what trains ``model``, which is on ``device``, according to ``experiment``."""
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
        """Describes the modules of ``model`` that differ from the experiment's detector."""
        return changed_modules(architecture(self.model), self.architecture)

    @contextlib.contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Context in which the model has the averaged weights, if there is an average."""
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
    """Context that locks ``run_dir`` against other programs; the lock is released with its process.

    Raises :class:`ConfigError` if another program holds the lock.
    """
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        lock = FileLock(run_dir / LOCK)
        lock.acquire(blocking=False)
    except Timeout:
        raise ConfigError(
            f"--out {run_dir}: another program is training in this folder. Wait until it has "
            "finished, stop it, or give another folder."
        ) from None
    except OSError as error:
        raise _unwritable(run_dir, error.strerror) from error
    try:
        yield
    finally:
        lock.release()


def check_unlocked(run_dir: Path) -> None:
    """Raises what :func:`locked` would, without creating the folder."""
    if (run_dir / LOCK).is_file():
        with locked(run_dir):
            return
    existing = next(path for path in (run_dir, *run_dir.absolute().parents) if path.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK)):
        raise _unwritable(run_dir, "Permission denied" if existing.is_dir() else "Not a directory")


def _unwritable(run_dir: Path, reason: str | None) -> UserError:
    return UserError(f"{run_dir}: cannot be written: {reason}. Choose another folder with --out.")


def seed_step(seed: int, rank: int, iteration: int) -> None:
    """Seeds this step, so that its random numbers do not depend on earlier ones."""
    mixed = np.random.SeedSequence((seed, rank, iteration)).generate_state(1, np.uint64)
    torch.manual_seed(int(mixed[0]))


def save_last(
    path: Path,
    experiment: Experiment,
    learner: Learner,
    position: Position,
    division: Division | None = None,
) -> None:
    """Writes a checkpoint for resuming training."""
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
    """Writes a checkpoint for inference, with the weights that were evaluated."""
    weights, changes = learner.model.state_dict(), learner.changed_modules
    content = Checkpoint(experiment, weights, changed_modules=changes, division=division)
    checkpoint.save(path, content)


def load_last(
    path: Path, experiment: Experiment, learner: Learner, start: Position
) -> tuple[Position, list[str], ReceptiveFields | None]:
    """Restores ``learner`` from ``path`` and returns the position there.

    Also returns notes on settings of ``experiment`` that differ from those of the run so far, and
    its receptive fields with the dilations that the run has found; ``start`` is the position of a
    new run. Raises :class:`CheckpointError` if the run cannot be
    resumed: the classes, the model or the length of an epoch differ.
    """
    _remove_unfinished(path)
    saved = checkpoint.read(path)
    if saved.training is None:
        raise CheckpointError(
            f"{path}: contains only weights, no training state to resume. Start a new run from it: "
            f"--weights {path}."
        )
    if saved.experiment.all_names != experiment.all_names:
        raise CheckpointError(
            f"{path}: was trained on the classes {', '.join(saved.experiment.all_names)}, but the "
            f"data has {', '.join(experiment.all_names)}. Resuming needs the same classes in the "
            f"same order; to start a new run from these weights, use --weights {path}."
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
        # If averaging starts only now, it starts from the current weights.
        averaged = saved.model if saved.ema is None else saved.ema
        for name, value in learner.average.average.items():
            value.copy_(averaged[name])
        learner.average.steps = saved.training["averaged_steps"]
    fields, found = experiment.receptive_fields, saved.experiment.receptive_fields
    if fields is not None and found is not None:
        fields = dataclasses.replace(fields, dilations=found.dilations)
        fields.arrange(learner.model)
        experiment = dataclasses.replace(experiment, receptive_fields=fields)
    changes = diff(saved.experiment, experiment)
    if position.lr_scale not in (None, start.lr_scale):
        changes.append(("learning-rate scaling", position.lr_scale, start.lr_scale))
    position.lr_scale = start.lr_scale
    return position, [f"{name} {old!r} -> {new!r}" for name, old, new in changes], fields


def _other_buffers(model: nn.Module) -> dict[str, torch.Tensor]:
    """Non-persistent buffers, such as the adaptive thresholds of Dynamic R-CNN."""
    weights = model.state_dict()
    return {name: value for name, value in model.named_buffers() if name not in weights}


def _load_optimizer(path: Path, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    try:
        optimizer.load_state_dict(state)
    except (ValueError, KeyError) as error:
        raise CheckpointError(
            f"{path}: its optimizer is different ({error}). Resume with the optimizer of the "
            f"run, or start a new run from these weights: --weights {path}."
        ) from None


def _remove_unfinished(path: Path) -> None:
    """Removes temporary files left by a process killed while writing ``path``."""
    for file in path.parent.glob(f".{path.name}.*.tmp"):
        file.unlink()
