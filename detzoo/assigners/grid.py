"""Assignment by grid cells (YOLOv3, https://arxiv.org/abs/1804.02767)."""

from __future__ import annotations

import torch
from torch import Tensor

from detzoo.config import UnitFloat, config
from detzoo.ops.boxes import pairwise_iou
from detzoo.structures import BACKGROUND, IGNORED, Assignment, Priors, Targets


@config
class GridAssigner:
    """Assigns targets by IoU to the anchors of the cells that contain their centers.

    In these cells, an anchor is positive for the target with the highest IoU if it is above
    ``positive_iou``, and for a target of which it is the best anchor. Elsewhere it is background or
    ignored.

    Args:
        positive_iou: IoU above which an anchor is positive.
        negative_iou: Anchors that are not positive are background up to this IoU, ignored above.
        min_positive_iou: IoU above which a target's best anchors are always positive.
    """

    positive_iou: UnitFloat = 0.5
    negative_iou: UnitFloat = 0.5
    min_positive_iou: UnitFloat = 0.0

    def assign(self, priors: Priors, targets: Targets) -> Assignment:
        """Assigns targets to anchors, which are centered on their cells."""
        boxes = priors.boxes
        if len(targets) == 0:
            index = torch.full((len(boxes),), BACKGROUND, device=boxes.device)
            return Assignment(index, boxes.new_zeros(len(boxes)))
        overlap = pairwise_iou(targets.boxes, boxes)  # (N, P)
        iou = overlap.amax(0)
        index = torch.where(iou <= self.negative_iou, BACKGROUND, IGNORED)
        # The target whose center is in the cell need not be the one with the highest IoU.
        overlap = overlap.masked_fill(~_holds_a_center(priors, targets.boxes), -1.0)
        best_iou, best = overlap.max(0)
        index = torch.where(best_iou > self.positive_iou, best, index)
        own_best = overlap.amax(1, keepdim=True)
        is_best = (overlap == own_best) & (own_best > self.min_positive_iou)
        # An anchor that is the best of several targets is assigned to the last of them.
        number = torch.arange(len(targets), device=boxes.device)[:, None]
        claimed = torch.where(is_best, number, BACKGROUND).amax(0)
        return Assignment(torch.where(claimed >= 0, claimed, index), iou)


def _holds_a_center(priors: Priors, targets: Tensor) -> Tensor:
    """Whether the cell of each prior contains the center of any target (N, 4) -> (P,)."""
    stride = priors.stride[:, None]
    cell = ((priors.boxes[:, :2] + priors.boxes[:, 2:]) / 2 / stride).floor()  # (P, 2)
    center = (targets[:, :2] + targets[:, 2:]) / 2
    return ((center[:, None] / stride).floor() == cell).all(2).any(0)
