"""Generalized focal loss (https://arxiv.org/abs/2006.04388)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from detzoo.config import NonNegativeFloat, config
from detzoo.losses.base import Loss
from detzoo.losses.quality import QualityLoss


@config
class QualityFocalLoss(QualityLoss):
    """Focal loss with the quality of the box as target instead of 1, summed over classes.

    Args:
        beta: Exponent of the error; larger values down-weight easy samples.
    """

    beta: NonNegativeFloat = 2.0

    def per_rated(self, logits: Tensor, labels: Tensor, quality: Tensor) -> Tensor:
        is_class = labels < logits.shape[1]
        own = logits.gather(1, labels.clamp(max=logits.shape[1] - 1)[:, None])[:, 0]
        exchange = self._loss(own, quality) - self._loss(own, torch.zeros_like(own))
        nothing = torch.zeros_like(logits)
        return self._loss(logits, nothing).sum(1) + torch.where(is_class, exchange, 0.0)

    def _loss(self, logits: Tensor, quality: Tensor) -> Tensor:
        error = (quality - logits.sigmoid()).abs()
        return error.pow(self.beta) * (F.softplus(logits) - quality * logits)


@config
class DistributionFocalLoss(Loss):
    """Cross entropy of a distribution over integers, for a target between two of them."""

    weight: NonNegativeFloat = 0.25

    def per_example(self, logits: Tensor, target: Tensor, /) -> Tensor:
        """Logits (..., n + 1) of 0 to n, target (...) from 0 to below n -> (...)."""
        left = target.floor()
        log = logits.log_softmax(-1)
        log_left = log.gather(-1, left.long()[..., None])[..., 0]
        log_right = log.gather(-1, left.long()[..., None] + 1)[..., 0]
        return -(left + 1 - target) * log_left - (target - left) * log_right
