"""Training, from the first step to the last."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from detzoo.data.dataset import DetectionDataset
from detzoo.detectors.base import Detector
from detzoo.evaluate.metrics import Metrics
from detzoo.experiment import Experiment


@dataclass(frozen=True)
class EarlyStopping:
    """Ends training after ``patience`` evaluations without a better ``metric`` (such as bbox/AP50).

    ``metric`` None watches the main one.
    """

    metric: str | None = None
    patience: int = 3


@dataclass(frozen=True)
class TrainingResult:
    """What a run came to. ``metrics`` is the last evaluation, ``best`` that of ``best.pt``."""

    run_dir: Path
    iterations: int
    metrics: Metrics | None
    best: Metrics | None
    # Whether the user stopped it (SIGINT); ``last.pt`` holds where.
    interrupted: bool


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
    log_interval: int = 50,
    resume_command: str = "",
    quiet: bool = False,
) -> TrainingResult:
    """Trains ``model`` (initialised by the caller, on any device) as ``experiment`` says.

    Writes into ``run_dir``: ``last.pt`` (with everything that resuming needs), ``best.pt`` (by the
    main metric of ``val_data``), ``experiment.json``, ``metrics.jsonl``, ``metrics.csv`` and TensorBoard events.
    With ``resume`` it continues from ``run_dir/last.pt``, to the same weights, bit for bit, as if
    it had never stopped. ``checkpoint_steps`` writes ``last.pt`` every so many steps besides the
    experiment's ``checkpoint_every``. Call it in every process of a ``torchrun``.
    """
    raise NotImplementedError
