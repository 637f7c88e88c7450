"""Online hard example mining (https://arxiv.org/abs/1604.03540)."""

from __future__ import annotations

from torch import Tensor

from detzoo.config import config
from detzoo.samplers.base import Sampler
from detzoo.structures import Assignment


@config
class OHEMSampler(Sampler):
    """Draws the boxes whose present classification loss is highest."""

    @property
    def needs_losses(self) -> bool:
        return True

    def positive_priority(
        self, assignment: Assignment, losses: Tensor | None, wanted: int
    ) -> Tensor:
        return _hardness(losses)

    def negative_priority(
        self, assignment: Assignment, losses: Tensor | None, wanted: Tensor
    ) -> Tensor:
        return _hardness(losses)


def _hardness(losses: Tensor | None) -> Tensor:
    assert losses is not None
    # Rounding can take a loss of nearly nothing below zero.
    return losses.clamp(min=0)
