"""What a run would do, found by its first step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from detzoo.evaluate.metrics import Metrics
from detzoo.train.plan import Plan


@dataclass(frozen=True)
class Rehearsal:
    """The ``plan`` of a run, and what its next step and an evaluation of one image gave.

    A step has ``images_per_step`` of the ``images`` that are trained on, in ``seconds``;
    ``learning_rate`` is the highest of the schedule. ``losses`` are by name, and empty if there is
    no step left. ``memory_gb`` is the most that was in use, of the device or of this process on a
    CPU. ``metric`` determines the best evaluation, ``metrics`` are those of the one image; None:
    nothing is evaluated.
    """

    plan: Plan
    steps_done: int
    images: int
    images_per_step: int
    learning_rate: float
    parameters: int
    trained_parameters: int
    losses: Mapping[str, float]
    seconds: float
    memory_gb: float
    device: torch.device
    metric: str | None
    metrics: Metrics | None
