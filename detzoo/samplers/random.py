"""Random sampling of the boxes that a head is trained on."""

from __future__ import annotations

import torch
from torch import Tensor

from detzoo.config import config
from detzoo.samplers.base import Sampler
from detzoo.structures import Assignment


@config
class RandomSampler(Sampler):
    """Samples uniformly."""

    def positive_priority(
        self, assignment: Assignment, losses: Tensor | None, wanted: int
    ) -> Tensor:
        return torch.rand_like(assignment.iou)

    def negative_priority(
        self, assignment: Assignment, losses: Tensor | None, wanted: Tensor
    ) -> Tensor:
        return torch.rand_like(assignment.iou)
