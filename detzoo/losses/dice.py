"""Dice loss of masks (https://arxiv.org/abs/1606.04797)."""

from __future__ import annotations

from torch import Tensor

from detzoo.config import PositiveFloat, config
from detzoo.losses.base import Loss


@config
class DiceLoss(Loss):
    """One minus the dice coefficient of two masks, with squares in the denominator.

    Args:
        eps: Added to the squares of each mask.
    """

    eps: PositiveFloat = 1e-3

    def per_example(self, predicted: Tensor, target: Tensor, /) -> Tensor:
        """Probabilities (N, ...) and targets (N, ...) of 0 and 1 -> (N,)."""
        predicted, target = predicted.flatten(1), target.flatten(1)
        common = (predicted * target).sum(1)
        together = predicted.square().sum(1) + target.square().sum(1) + 2 * self.eps
        return 1 - 2 * common / together
