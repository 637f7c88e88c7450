"""Varifocal loss (https://arxiv.org/abs/2008.13367)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from detzoo.config import NonNegativeFloat, config
from detzoo.losses.quality import QualityLoss


@config
class VarifocalLoss(QualityLoss):
    """Binary cross entropy with the quality, weighted by quality for positives and focally for
    negatives.

    The weight of a sample's own class is its quality, that of the others a focal weight.

    Args:
        alpha: Weight of negatives, the classes that are not a sample's own.
        gamma: Exponent of the scores of negatives; larger values down-weight easy samples.
    """

    alpha: NonNegativeFloat = 0.75
    gamma: NonNegativeFloat = 2.0

    def per_rated(self, logits: Tensor, labels: Tensor, quality: Tensor) -> Tensor:
        # Almost all targets are 0: compute that for all, then replace one logit per object.
        is_class = labels < logits.shape[1]
        own = logits.gather(1, labels.clamp(max=logits.shape[1] - 1)[:, None])[:, 0]
        rated = quality * (F.softplus(own) - quality * own)
        exchange = torch.where(is_class, rated - self._negative(own), 0.0)
        return self._negative(logits).sum(1) + exchange

    def _negative(self, logits: Tensor) -> Tensor:
        return self.alpha * logits.sigmoid().pow(self.gamma) * F.softplus(logits)
