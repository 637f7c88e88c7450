"""YOLOX's assignment by cost (https://arxiv.org/abs/2107.08430)."""

from __future__ import annotations

import torch
from torch import Tensor

from detzoo.config import config
from detzoo.ops.boxes import pairwise_iou
from detzoo.structures import BACKGROUND, Assignment, Priors, Targets

# The least logarithm of a probability that counts, as in torch's binary cross entropy.
MIN_LOG = -100.0
# What a prior costs that is not both in the target's box and near its centre.
OUTSIDE = 100_000.0
EPS = 1e-7


@config
class SimOTAAssigner:
    """Every target takes the priors whose present predictions fit it best.

    Only priors inside some target's box, or within ``centre_radius`` strides of some target's
    centre, are considered; those for which both are true of one target come first with it. A target
    takes as many priors as the IoUs of its ``num_candidates`` best boxes add up to, at least one. A
    prior that several targets take goes to the one that it fits best.
    """

    centre_radius: float = 2.5
    num_candidates: int = 10
    class_weight: float = 1.0
    iou_weight: float = 3.0

    def assign(self, priors: Priors, scores: Tensor, boxes: Tensor, targets: Targets) -> Assignment:
        """From ``scores`` (P, C) and ``boxes`` (P, 4) that are predicted at the priors.

        The assignment's ``iou`` is that of the predicted box and its target.
        """
        if len(targets) == 0:
            index = torch.full((len(priors),), BACKGROUND, device=boxes.device)
            return Assignment(index, boxes.new_zeros(len(priors)))
        in_box, near_centre = self._places(priors, targets.boxes)  # (P, N)
        is_considered = (in_box | near_centre).any(1, keepdim=True)
        iou = pairwise_iou(boxes, targets.boxes)
        cost = (
            _class_cost(scores, targets.labels) * self.class_weight
            - (iou + EPS).log() * self.iou_weight
            + ~(in_box & near_centre) * OUTSIDE
        ).masked_fill(~is_considered, torch.inf)
        takes = self._takes(cost, iou * is_considered)

        cheapest = cost.argmin(1)
        index = torch.where(takes.sum(1) > 1, cheapest, takes.to(torch.uint8).argmax(1))
        own_iou = iou.gather(1, index[:, None])[:, 0]
        return Assignment(torch.where(takes.any(1), index, BACKGROUND), own_iou)

    def _places(self, priors: Priors, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Whether the middle of each prior's cell is in each box, and near its centre: (P, N)."""
        stride = priors.stride[:, None, None]
        middle = (priors.boxes[:, None, :2] + priors.boxes[:, None, 2:]) / 2 + stride / 2
        in_box = (middle > targets[:, :2]) & (middle < targets[:, 2:])
        centre = (targets[:, :2] + targets[:, 2:]) / 2
        near = (middle - centre).abs() < self.centre_radius * stride
        return in_box.all(2), near.all(2)

    def _takes(self, cost: Tensor, iou: Tensor) -> Tensor:
        """(P, N) which priors every target takes."""
        most = min(self.num_candidates, len(cost))
        count = iou.topk(most, dim=0).values.sum(0).int().clamp(min=1)  # (N,)
        lowest, prior = cost.topk(most, dim=0, largest=False)  # (K, N)
        rank = torch.arange(most, device=cost.device)[:, None]
        chosen = (rank < count) & lowest.isfinite()
        return torch.zeros_like(cost, dtype=torch.bool).scatter(0, prior, chosen)


def _class_cost(scores: Tensor, labels: Tensor) -> Tensor:
    """Binary cross entropy of the square roots of ``scores`` (P, C) for each label (N,) -> (P, N).

    All classes but one have the target zero for every label: their sum is computed once.
    """
    roots = scores.sqrt()
    yes = roots.log().clamp(min=MIN_LOG)
    no = torch.log1p(-roots).clamp(min=MIN_LOG)
    return -no.sum(1, keepdim=True) + no[:, labels] - yes[:, labels]
