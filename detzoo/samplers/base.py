"""Base class of samplers, which select the boxes that a head is trained on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from detzoo.config import NonNegativeFloat, PositiveInt, UnitFloat, config
from detzoo.structures import Assignment


@dataclass(frozen=True)
class Sampling:
    """The boxes sampled for training, as masks ``is_positive`` (P,) and ``is_negative`` (P,)."""

    is_positive: Tensor
    is_negative: Tensor


@config
class Sampler(ABC):
    """Samples the boxes of an image that a head is trained on.

    Uses masks of fixed shape, so that sampling does not synchronize with the device.

    Args:
        num: Maximum number of sampled boxes.
        positive_fraction: Maximum fraction of positives in ``num``.
        adds_targets: Whether ground-truth boxes are added to the proposals.
        max_negatives_per_positive: Maximum ratio of negatives to positives, of which at least one
            is counted; None: negatives fill up ``num``.
    """

    num: PositiveInt
    positive_fraction: UnitFloat
    adds_targets: bool = False
    max_negatives_per_positive: NonNegativeFloat | None = None

    @property
    def needs_losses(self) -> bool:
        """Whether ``sample`` needs the classification loss of every box."""
        return False

    @abstractmethod
    def positive_priority(
        self, assignment: Assignment, losses: Tensor | None, wanted: int
    ) -> Tensor:
        """Priorities (P,), at least 0: the ``wanted`` positives with the highest are sampled."""

    @abstractmethod
    def negative_priority(
        self, assignment: Assignment, losses: Tensor | None, wanted: Tensor
    ) -> Tensor:
        """Priorities (P,), at least 0: the ``wanted`` (scalar) negatives with the highest are
        sampled."""

    def sample(self, assignment: Assignment, losses: Tensor | None = None) -> Sampling:
        """Samples from P assigned boxes, by their ``losses`` (P,) if it ``needs_losses``."""
        max_positives = int(self.num * self.positive_fraction)
        priority = self.positive_priority(assignment, losses, max_positives)
        is_positive = _highest(priority, assignment.is_positive, max_positives, max_positives)
        count = is_positive.sum()
        wanted = self.num - count
        if self.max_negatives_per_positive is not None:
            limit = (self.max_negatives_per_positive * count.clamp(min=1)).long()
            wanted = torch.minimum(wanted, limit)
        priority = self.negative_priority(assignment, losses, wanted)
        is_negative = _highest(priority, assignment.is_background, self.num, wanted)
        return Sampling(is_positive, is_negative)


def _highest(priority: Tensor, among: Tensor, at_most: int, count: Tensor | int) -> Tensor:
    """Mask (P,) of the ``count`` (no more than ``at_most``) of ``among`` with highest priority."""
    at_most = min(at_most, len(priority))
    values, index = torch.where(among, priority, -1.0).topk(at_most)
    rank = torch.arange(at_most, device=priority.device)
    chosen = (values >= 0) & (rank < count)
    return torch.zeros_like(among).index_put((index,), chosen)
