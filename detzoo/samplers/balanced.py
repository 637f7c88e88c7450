"""Balanced sampling (Libra R-CNN, https://arxiv.org/abs/1904.02701)."""

from __future__ import annotations

import torch
from torch import Tensor

from detzoo.config import PositiveInt, config
from detzoo.samplers.base import Sampler
from detzoo.structures import Assignment


@config
class BalancedSampler(Sampler):
    """Samples positives evenly over the targets, and negatives evenly over ranges of IoU.

    Uniform sampling would mostly select large targets, which have many positives, and easy
    negatives without overlap. If a target or a range has too few boxes, others are sampled instead.

    Args:
        num_iou_bins: Number of ranges that the IoUs of negatives are divided into; with one, they
            are sampled uniformly.
        balances_positives: Whether positives are sampled evenly over the targets, and not
            uniformly.
    """

    num_iou_bins: PositiveInt = 3
    balances_positives: bool = True

    def positive_priority(
        self, assignment: Assignment, losses: Tensor | None, wanted: int
    ) -> Tensor:
        chance = torch.rand_like(assignment.iou)
        if not self.balances_positives:
            return chance
        rank = _rank_in_group(chance, assignment.target_index)
        num_targets = (assignment.is_positive & (rank == 0)).sum()
        share = (wanted / num_targets.clamp(min=1)).round() + 1
        return chance + (rank < share)

    def negative_priority(
        self, assignment: Assignment, losses: Tensor | None, wanted: Tensor
    ) -> Tensor:
        chance = torch.rand_like(assignment.iou)
        if len(chance) == 0 or self.num_iou_bins == 1:
            return chance
        # The bins divide the range up to the best IoU of any box, positive ones included.
        width = assignment.iou.amax().clamp(min=1e-6) / self.num_iou_bins
        bins = (assignment.iou / width).long()
        # All other boxes are put into an extra bin, so that they do not displace negatives.
        bins = torch.where(assignment.is_background, bins, self.num_iou_bins + 1)
        share = wanted // self.num_iou_bins
        return chance + (_rank_in_group(chance, bins) < share)


def _rank_in_group(values: Tensor, group: Tensor) -> Tensor:
    """The number of members of the same ``group`` (P,) with a lower value (P,) -> (P,)."""
    order = values.argsort()
    order = order[group[order].argsort(stable=True)]  # by group, then by ascending value
    place = torch.arange(len(group), device=group.device)
    ordered = group[order]
    is_first = torch.ones_like(ordered, dtype=torch.bool)
    is_first[1:] = ordered[1:] != ordered[:-1]
    start = torch.where(is_first, place, 0).cummax(0).values
    return torch.empty_like(place).index_put((order,), place - start)
