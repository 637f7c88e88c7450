"""Losses of whole masks given as logits, which are also costs of matching them
(MaskFormer, https://arxiv.org/abs/2107.06278)."""

from __future__ import annotations

from abc import abstractmethod

import torch.nn.functional as F
from torch import Tensor

from detzoo.config import NonNegativeFloat, PositiveFloat, UnitFloat, config
from detzoo.losses.base import Loss

# Added to probabilities whose logarithm is a cost, which is bounded so.
_EPS = 1e-12


@config
class MaskLoss(Loss):
    """A loss of N masks of P pixels, or sampled points: logits (N, P) and targets (N, P) in [0, 1].

    As a cost, it compares all predictions with all targets.
    """

    @abstractmethod
    def per_pair(self, logits: Tensor, targets: Tensor, /) -> Tensor:
        """The loss of each of Q masks for each of N targets: (Q, P), (N, P) -> (Q, N)."""

    def cost(self, logits: Tensor, targets: Tensor, /) -> Tensor:
        """The same, multiplied by the loss's own weight."""
        return self.weight * self.per_pair(logits, targets)


@config
class MaskCrossEntropy(MaskLoss):
    """Binary cross entropy, averaged over pixels."""

    def per_example(self, logits: Tensor, targets: Tensor, /) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(1)

    def per_pair(self, logits: Tensor, targets: Tensor, /) -> Tensor:
        inside, outside = F.softplus(-logits), F.softplus(logits)
        return (inside @ targets.T + outside @ (1 - targets).T) / logits.shape[1]


@config
class MaskFocalLoss(MaskLoss):
    """Binary focal loss (https://arxiv.org/abs/1708.02002), averaged over pixels.

    Args:
        gamma: Focusing parameter, the exponent of the error; larger values down-weight easy pixels.
        alpha: Weight of pixels of the object; others have 1 - alpha.
    """

    gamma: NonNegativeFloat = 2.0
    alpha: UnitFloat = 0.25

    def per_example(self, logits: Tensor, targets: Tensor, /) -> Tensor:
        inside = self.alpha * (-logits).sigmoid().pow(self.gamma) * F.softplus(-logits)
        outside = (1 - self.alpha) * logits.sigmoid().pow(self.gamma) * F.softplus(logits)
        return (inside * targets + outside * (1 - targets)).mean(1)

    def per_pair(self, logits: Tensor, targets: Tensor, /) -> Tensor:
        p = logits.sigmoid()
        inside = self.alpha * (1 - p).pow(self.gamma) * -(p + _EPS).log()
        outside = (1 - self.alpha) * p.pow(self.gamma) * -(1 - p + _EPS).log()
        return (inside @ targets.T + outside @ (1 - targets).T) / logits.shape[1]


@config
class MaskDiceLoss(MaskLoss):
    """One minus the dice coefficient of probabilities, with plain sums in the denominator.

    Args:
        eps: Added to numerator and denominator: the loss of two empty masks is 0.
    """

    eps: PositiveFloat = 1.0

    def per_example(self, logits: Tensor, targets: Tensor, /) -> Tensor:
        p = logits.sigmoid()
        together = p.sum(1) + targets.sum(1)
        return 1 - (2 * (p * targets).sum(1) + self.eps) / (together + self.eps)

    def per_pair(self, logits: Tensor, targets: Tensor, /) -> Tensor:
        p = logits.sigmoid()
        together = p.sum(1)[:, None] + targets.sum(1)
        return 1 - (2 * p @ targets.T + self.eps) / (together + self.eps)
