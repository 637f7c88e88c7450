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

    ``adds_targets`` puts the targets' own boxes among the proposals. It works with masks of fixed
    shape, so drawing does not wait for the device.
    """

    num: int
    positive_fraction: float
    adds_targets: bool = False

    def __post_init__(self) -> None:
        if self.num < 1:
            raise ConfigError(f"num: {self.num} is not at least 1")
        if not 0 <= self.positive_fraction <= 1:
            raise ConfigError(f"positive_fraction: {self.positive_fraction} is not in [0, 1]")

    @property
    def needs_losses(self) -> bool:
        """Whether ``sample`` wants the classification loss of every box."""
        return False

    @abstractmethod
    def priority(self, losses: Tensor | None, like: Tensor) -> Tensor:
        """Which boxes are drawn first: the highest of these values (P,), positive numbers."""

    def sample(self, assignment: Assignment, losses: Tensor | None = None) -> Sampling:
        priority = self.priority(losses, assignment.iou)
        max_positives = int(self.num * self.positive_fraction)
        is_positive = _highest(priority, assignment.is_positive, max_positives, max_positives)
        wanted = self.num - is_positive.sum()
        is_negative = _highest(priority, assignment.is_background, self.num, wanted)
        return Sampling(is_positive, is_negative)


def _highest(priority: Tensor, among: Tensor, at_most: int, count: Tensor | int) -> Tensor:
    """Mask (P,) of the ``count`` (no more than ``at_most``) of ``among`` with highest priority."""
    at_most = min(at_most, len(priority))
    values, index = torch.where(among, priority, -1.0).topk(at_most)
    rank = torch.arange(at_most, device=priority.device)
    chosen = (values >= 0) & (rank < count)
    return torch.zeros_like(among).index_put((index,), chosen)
