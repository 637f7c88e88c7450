"""Online hard example mining (https://arxiv.org/abs/1604.03540)."""

from __future__ import annotations

from torch import Tensor

from detzoo.config import config
from detzoo.samplers.base import Sampler
from detzoo.structures import Assignment


@config
class OHEMSampler(Sampler):
    """Samples the boxes with the highest current classification loss."""

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
    # Rounding can make a loss near zero negative.
    return losses.clamp(min=0)
