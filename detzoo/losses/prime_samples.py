"""Prime sample attention (PISA, https://arxiv.org/abs/1904.04821): weights samples by importance,
and boxes by the certainty of their class.
"""

from __future__ import annotations

import torch
from torch import Tensor

from detzoo.config import NonNegativeFloat, UnitFloat, config


@config
class Importance:
    """Weights samples by their rank: ``(bias + (1 - bias) * importance) ** exponent``.

    Args:
        exponent: Exponent; larger values down-weight samples of low importance.
        bias: Bias; larger values make the weights more uniform.
    """

    exponent: NonNegativeFloat = 2.0
    bias: UnitFloat = 0.0

    def weights(self, importance: Tensor, losses: Tensor, counts: Tensor | None = None) -> Tensor:
        """Returns weights (N,) of samples with ``importance`` (N,) from 0 to 1.

        They are scaled to preserve the sum of the ``losses`` (N,). Only samples selected by
        ``counts`` (N,), by default all, are weighted; the others have weight 1.
        """
        counts = torch.ones_like(importance, dtype=torch.bool) if counts is None else counts
        weights = (self.bias + (1 - self.bias) * importance).pow(self.exponent)
        losses = losses * counts
        scale = losses.sum() / (losses * weights).sum().clamp(min=torch.finfo(losses.dtype).tiny)
        return torch.where(counts, weights * scale, 1.0)


@config
class CertaintyWeight:
    """Weights boxes by the score of their class: ``(bias + (1 - bias) * score) ** exponent``.

    Args:
        exponent: Exponent; larger values down-weight boxes of uncertain classes.
        bias: Bias; larger values make the weights more uniform.
    """

    exponent: NonNegativeFloat = 1.0
    bias: UnitFloat = 0.2

    def weights(self, scores: Tensor, counts: Tensor) -> Tensor:
        """Returns weights (N,) of boxes whose classes have ``scores`` (N,); those selected by
        ``counts`` (N,) have mean 1, the others are 0.

        Gradients flow to the scores, so uncertain boxes also train their class.
        """
        weights = (self.bias + (1 - self.bias) * scores).pow(self.exponent) * counts
        return weights * (counts.sum() / weights.sum().clamp(min=torch.finfo(scores.dtype).tiny))


def local_importance(
    quality: Tensor, labels: Tensor, owners: Tensor, is_positive: Tensor, num_classes: int
) -> Tensor:
    """The importance of positive samples by IoU hierarchical local rank (IoU-HLR): (N,) from 0 to
    1.

    Samples of one object (``owners`` (N,), distinct over images) are ranked by the ``quality`` (N,)
    of their boxes. In each class (``labels`` (N,)), all of rank 0 come first, then those of rank 1,
    and so on. Only ``is_positive`` (N,) samples are ranked.
    """
    labels = torch.where(is_positive, labels, num_classes)
    owners = torch.where(is_positive, owners, owners.amax() + 1) if len(owners) else owners
    counts = torch.zeros(num_classes + 1, device=labels.device)
    counts = counts.scatter_add(0, labels, torch.ones_like(quality))
    most = counts[:num_classes].amax().clamp(min=1)
    place = most - rank_within(quality, owners) + quality
    return (most - rank_within(place, labels)) / most


def rank_within(values: Tensor, group: Tensor) -> Tensor:
    """The rank of each value (N,) among those of its ``group`` (N,), from 0 for the highest."""
    order = values.argsort(descending=True, stable=True)
    order = order[group[order].argsort(stable=True)]
    in_order = group[order]
    start = torch.searchsorted(in_order, in_order)
    rank = torch.arange(len(order), device=order.device) - start
    return torch.empty_like(values).scatter(0, order, rank.to(values))
