"""Generalized focal loss (https://arxiv.org/abs/2006.04388)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from detzoo.config import config
from detzoo.losses.quality import QualityLoss


@config
class QualityFocalLoss(QualityLoss):
    """Focal loss whose target is not 1 but how good the box is, summed over classes.

    Args:
        beta: Exponent of the error; the larger, the less easy examples count.
    """

    beta: float = 2.0

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
class DistributionFocalLoss:
    """Cross entropy of a distribution over whole numbers, for a target between two of them."""

    weight: float = 0.25

    def __call__(self, logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
        """Sum over logits (..., n + 1) of 0 to n, target (...) from 0 to below n, weights (...)."""
        left = target.floor()
        log = logits.log_softmax(-1)
        log_left = log.gather(-1, left.long()[..., None])[..., 0]
        log_right = log.gather(-1, left.long()[..., None] + 1)[..., 0]
        loss = -(left + 1 - target) * log_left - (target - left) * log_right
        return self.weight * (loss * weights).sum()
