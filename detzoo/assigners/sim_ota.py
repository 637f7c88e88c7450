"""Simplified optimal transport assignment (SimOTA, YOLOX, https://arxiv.org/abs/2107.08430)."""

from __future__ import annotations

import torch
from torch import Tensor

from detzoo.config import NonNegativeFloat, PositiveFloat, PositiveInt, config
from detzoo.ops.boxes import pairwise_iou
from detzoo.structures import BACKGROUND, Assignment, Priors, Targets

# Lower bound of logarithms, as in PyTorch's binary cross entropy.
MIN_LOG = -100.0
# Additional cost of priors that are not both inside the target's box and near its center.
OUTSIDE = 100_000.0
EPS = 1e-7


@config
class SimOTAAssigner:
    """Assigns each target to the priors whose current predictions have the lowest cost for it.

    Only priors inside a target's box or near a target's center are considered; for each target,
    those that are both come first. The number of priors of a target is the sum of the IoUs of its
    best candidates, at least one. A prior with several targets is assigned to the one with the
    lowest cost.

    Args:
        center_radius: Maximum distance from the center, in strides, of priors near it.
        num_candidates: Number of best IoUs that determine the number of priors of a target.
        class_weight: Weight of the classification cost.
        iou_weight: Weight of the cost of the IoU, -log(IoU).
    """

    center_radius: PositiveFloat = 2.5
    num_candidates: PositiveInt = 10
    class_weight: NonNegativeFloat = 1.0
    iou_weight: NonNegativeFloat = 3.0

    def assign(self, priors: Priors, scores: Tensor, boxes: Tensor, targets: Targets) -> Assignment:
        """Assigns targets by the ``scores`` (P, C) and ``boxes`` (P, 4) predicted at the priors.

        The assignment's ``iou`` is that of the predicted box and its target.
        """
        if len(targets) == 0:
            index = torch.full((len(priors),), BACKGROUND, device=boxes.device)
            return Assignment(index, boxes.new_zeros(len(priors)))
        in_box, near_center = self._places(priors, targets.boxes)  # (P, N)
        is_considered = (in_box | near_center).any(1, keepdim=True)
        iou = pairwise_iou(boxes, targets.boxes)
        cost = (
            _class_cost(scores, targets.labels) * self.class_weight
            - (iou + EPS).log() * self.iou_weight
            + ~(in_box & near_center) * OUTSIDE
        ).masked_fill(~is_considered, torch.inf)
        takes = self._takes(cost, iou * is_considered)

        cheapest = cost.argmin(1)
        index = torch.where(takes.sum(1) > 1, cheapest, takes.to(torch.uint8).argmax(1))
        own_iou = iou.gather(1, index[:, None])[:, 0]
        return Assignment(torch.where(takes.any(1), index, BACKGROUND), own_iou)

    def _places(self, priors: Priors, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Whether the centers of priors' cells are inside boxes, and near their centers: (P, N)."""
        stride = priors.stride[:, None, None]
        middle = (priors.boxes[:, None, :2] + priors.boxes[:, None, 2:]) / 2 + stride / 2
        in_box = (middle > targets[:, :2]) & (middle < targets[:, 2:])
        center = (targets[:, :2] + targets[:, 2:]) / 2
        near = (middle - center).abs() < self.center_radius * stride
        return in_box.all(2), near.all(2)

    def _takes(self, cost: Tensor, iou: Tensor) -> Tensor:
        """Which priors each target selects: (P, N)."""
        most = min(self.num_candidates, len(cost))
        count = iou.topk(most, dim=0).values.sum(0).int().clamp(min=1)  # (N,)
        lowest, prior = cost.topk(most, dim=0, largest=False)  # (K, N)
        rank = torch.arange(most, device=cost.device)[:, None]
        chosen = (rank < count) & lowest.isfinite()
        return torch.zeros_like(cost, dtype=torch.bool).scatter(0, prior, chosen)


def _class_cost(scores: Tensor, labels: Tensor) -> Tensor:
    """Binary cross entropy of the square roots of ``scores`` (P, C) for each label (N,) -> (P, N).

    For every label, all classes but one have target 0: their sum is computed once.
    """
    roots = scores.sqrt()
    yes = roots.log().clamp(min=MIN_LOG)
    no = torch.log1p(-roots).clamp(min=MIN_LOG)
    return -no.sum(1, keepdim=True) + no[:, labels] - yes[:, labels]
