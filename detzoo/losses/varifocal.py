"""Varifocal loss (https://arxiv.org/abs/2008.13367)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from detzoo.config import config
from detzoo.losses.quality import QualityLoss


@config
class VarifocalLoss(QualityLoss):
    """Binary cross entropy with the quality, in which good boxes and wrong "yes"es count more.

    A class that is the example's own counts as much as its quality, any other by a focal weight.

    Args:
        alpha: Weight of the classes that are not an example's own.
        gamma: Exponent of their scores; the larger, the less easy examples count.
    """

    alpha: float = 0.75
    gamma: float = 2.0

    def per_rated(self, logits: Tensor, labels: Tensor, quality: Tensor) -> Tensor:
        # Almost every answer is "no": compute that for all, then exchange one logit per object.
        is_class = labels < logits.shape[1]
        own = logits.gather(1, labels.clamp(max=logits.shape[1] - 1)[:, None])[:, 0]
        rated = quality * (F.softplus(own) - quality * own)
        exchange = torch.where(is_class, rated - self._negative(own), 0.0)
        return self._negative(logits).sum(1) + exchange

    def _negative(self, logits: Tensor) -> Tensor:
        return self.alpha * logits.sigmoid().pow(self.gamma) * F.softplus(logits)
