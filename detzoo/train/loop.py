"""The training function."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path

import torch

from detzoo.config import ConfigError
from detzoo.data.dataset import DetectionDataset
from detzoo.data.hold_out import Division
from detzoo.detectors.base import Detector
from detzoo.devices import deterministic as make_deterministic
from detzoo.experiment import Experiment
from detzoo.train.callbacks.base import Callback
from detzoo.train.callbacks.checkpoints import Checkpoints
from detzoo.train.callbacks.display import Display
from detzoo.train.callbacks.files import MetricsFiles, TextLog
from detzoo.train.callbacks.tensorboard import TensorBoard
from detzoo.train.distributed import join_processes
from detzoo.train.trainer import Trainer, TrainingResult
from detzoo.train.validation import EarlyStopping


def train(
    experiment: Experiment,
    model: Detector,
    train_data: DetectionDataset,
    val_data: DetectionDataset | None,
    run_dir: Path,
    *,
    device: torch.device | str = "cpu",
    resume: bool = False,
    scale_learning_rate: bool = True,
    early_stopping: EarlyStopping | None = None,
    checkpoint_steps: int | None = None,
    fused: bool = True,
    compiled: bool = False,
    log_interval: int = 20,
    callbacks: Sequence[Callback] = (),
    quiet: bool = False,
    division: Division | None = None,
    val_batch_size: int = 1,
    dry_run: bool = False,
    deterministic: bool = False,
) -> TrainingResult:
    """Trains ``model`` (initialized by the caller, on any device) according to ``experiment``.

    Writes to ``run_dir``: ``last.pt`` (with everything needed for resuming), ``best.pt`` (by the
    main metric on ``val_data``), ``experiment.json``, ``metrics.jsonl``, ``metrics.csv``,
    ``log.txt`` and TensorBoard events. With ``resume``, training continues from ``run_dir/last.pt``
    and reaches bitwise the same weights as an uninterrupted run. ``checkpoint_steps`` is the number
    of steps between further writes of ``last.pt``, in addition to the experiment's
    ``checkpoint_every``; averages are logged every ``log_interval`` steps. Evaluation uses a fused
    copy of the model unless ``fused`` is false (see :func:`detzoo.evaluate.detect`), and
    ``val_batch_size`` images at a time, which does not change what is found. With ``compiled``,
    backbone and neck are compiled for training (:class:`detzoo.train.compiled.CompiledTraining`).
    ``callbacks`` are called at the events of the run (:class:`detzoo.train.callbacks.Callback`).
    ``division`` records which images are held out as ``val_data``, and is saved in checkpoints.
    With ``dry_run``, only the first step is taken and an image evaluated, and nothing is written;
    the result has the :class:`~detzoo.train.rehearsal.Rehearsal`. With ``deterministic``, a GPU
    computes the same to the bit every time, as a CPU does anyway
    (:func:`detzoo.devices.deterministic`). Under ``torchrun``, call this in every process.

    Raises :class:`UserError` if training is impossible, before the first step if this is known by
    then.
    """
    if early_stopping is not None and val_data is None:
        raise ConfigError("early_stopping: requires validation data (--val)")
    exactly = make_deterministic if deterministic else contextlib.nullcontext
    with join_processes(device) as processes, exactly(processes.device):
        trainer = Trainer(
            experiment,
            model,
            train_data,
            val_data,
            run_dir,
            processes,
            callbacks=[
                *default_callbacks(quiet=quiet, writes=not dry_run),
                *([] if early_stopping is None else [early_stopping]),
                *callbacks,
            ],
            resume=resume,
            scale_learning_rate=scale_learning_rate,
            metric=None if early_stopping is None else early_stopping.metric,
            checkpoint_steps=checkpoint_steps,
            fused=fused,
            compiled=compiled,
            log_interval=log_interval,
            division=division,
            val_batch_size=val_batch_size,
        )
        if early_stopping is not None and trainer.validation is not None:
            trainer.validation.require_defined_metric()
        return trainer.rehearse() if dry_run else trainer.run()


def default_callbacks(*, quiet: bool = False, writes: bool = True) -> list[Callback]:
    """The callbacks of every run: its files if it ``writes``, and its display unless ``quiet``."""
    callbacks: list[Callback] = [Checkpoints(), TextLog(), MetricsFiles()] if writes else []
    if writes and importlib.util.find_spec("tensorboard") is not None:
        callbacks.append(TensorBoard())
    return callbacks if quiet else [*callbacks, Display()]
