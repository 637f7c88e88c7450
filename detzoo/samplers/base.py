"""What every sampler of training examples is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from detzoo.config import ConfigError, config
from detzoo.structures import Assignment


@dataclass(frozen=True)
class Sampling:
    """Boxes drawn for training: masks ``is_positive`` (P,) and ``is_negative`` (P,)."""

    is_positive: Tensor
    is_negative: Tensor


@config
class Sampler(ABC):
    """Draws at most ``num`` boxes, at most ``positive_fraction`` of them positive.

    ``adds_targets`` puts the targets' own boxes among the proposals;
    ``max_negatives_per_positive`` keeps images with few positives from drowning in negatives. It
    works with masks of fixed shape, so drawing does not wait for the device.
    """

    num: int
    positive_fraction: float
    adds_targets: bool = False
    # Where there is no positive, as if there were one.
    max_negatives_per_positive: float | None = None

    def __post_init__(self) -> None:
        if self.num < 1:
            raise ConfigError(f"num: {self.num} is not at least 1")
        if not 0 <= self.positive_fraction <= 1:
            raise ConfigError(f"positive_fraction: {self.positive_fraction} is not in [0, 1]")
        ratio = self.max_negatives_per_positive
        if ratio is not None and ratio < 0:
            raise ConfigError(f"max_negatives_per_positive: {ratio} is negative")

    @property
    def needs_losses(self) -> bool:
        """Whether ``sample`` wants the classification loss of every box."""
        return False

    @abstractmethod
    def positive_priority(
        self, assignment: Assignment, losses: Tensor | None, wanted: int
    ) -> Tensor:
        """Which ``wanted`` positives are drawn: the highest of these values (P,), from 0 on."""

    @abstractmethod
    def negative_priority(
        self, assignment: Assignment, losses: Tensor | None, wanted: Tensor
    ) -> Tensor:
        """Which ``wanted`` (a scalar) negatives are drawn: the highest of these values (P,)."""

    def sample(self, assignment: Assignment, losses: Tensor | None = None) -> Sampling:
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
