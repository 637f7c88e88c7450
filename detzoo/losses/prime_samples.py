"""Prime sample attention (PISA, https://arxiv.org/abs/1904.04821): examples count as much as they
matter, and boxes as much as their class is certain."""

from __future__ import annotations

import torch
from torch import Tensor

from detzoo.config import NonNegativeFloat, UnitFloat, config


@config
class Importance:
    """Weights examples by their rank: ``(bias + (1 - bias) * importance) ** exponent``.

    Args:
        exponent: The larger, the less examples of low rank count.
        bias: The larger, the more alike all examples count.
    """

    exponent: NonNegativeFloat = 2.0
    bias: UnitFloat = 0.0

    def weights(self, importance: Tensor, losses: Tensor, counts: Tensor | None = None) -> Tensor:
        """Weights (N,) of examples with ``importance`` (N,) from 0 to 1.

        They are scaled such that the sum of the ``losses`` (N,) stays what it is. Only examples
        that ``counts`` (N,), all by default, are looked at; the others have the weight 1.
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
        exponent: The larger, the less boxes of uncertain classes count.
        bias: The larger, the more alike all boxes count.
    """

    exponent: NonNegativeFloat = 1.0
    bias: UnitFloat = 0.2

    def weights(self, scores: Tensor, counts: Tensor) -> Tensor:
        """Weights (N,) of boxes whose class has the ``scores`` (N,); the mean of those that
        ``counts`` (N,) is 1, the others are 0.

        Gradients reach the scores: an uncertain box teaches its class, too.
        """
        weights = (self.bias + (1 - self.bias) * scores).pow(self.exponent) * counts
        return weights * (counts.sum() / weights.sum().clamp(min=torch.finfo(scores.dtype).tiny))


def local_importance(
    quality: Tensor, labels: Tensor, owners: Tensor, is_positive: Tensor, num_classes: int
) -> Tensor:
    """How important positive examples are by IoU hierarchical local rank: (N,) from 0 to 1.

    Examples of one object (``owners`` (N,), distinct over images) are ranked by the ``quality``
    (N,) of their boxes. In each class (``labels`` (N,)), all of rank 0 come first, then those of
    rank 1, and so on. Only examples that are ``is_positive`` (N,) count.
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
