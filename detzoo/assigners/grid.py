"""YOLOv3's assignment by cells (https://arxiv.org/abs/1804.02767)."""

from __future__ import annotations

import torch
from torch import Tensor

from detzoo.config import config
from detzoo.ops.boxes import pairwise_iou
from detzoo.structures import BACKGROUND, IGNORED, Assignment, Priors, Targets


@config
class GridAssigner:
    """Only anchors in a cell that holds the centre of a target can be positive.

    Such an anchor takes the target that it overlaps most, if by more than ``positive_iou``; and
    every target takes the ones that overlap it most, if by more than ``min_positive_iou``. All
    other anchors are background unless they overlap some target by more than ``negative_iou``.
    """

    positive_iou: float = 0.5
    negative_iou: float = 0.5
    min_positive_iou: float = 0.0

    def assign(self, priors: Priors, targets: Targets) -> Assignment:
        """Targets of anchors around the centres of their cells."""
        boxes = priors.boxes
        if len(targets) == 0:
            index = torch.full((len(boxes),), BACKGROUND, device=boxes.device)
            return Assignment(index, boxes.new_zeros(len(boxes)))
        overlap = pairwise_iou(targets.boxes, boxes)  # (N, P)
        iou = overlap.amax(0)
        index = torch.where(iou <= self.negative_iou, BACKGROUND, IGNORED)
        # The cell need not be that of the target which is overlapped most.
        overlap = overlap.masked_fill(~_holds_a_centre(priors, targets.boxes), -1.0)
        best_iou, best = overlap.max(0)
        index = torch.where(best_iou > self.positive_iou, best, index)
        own_best = overlap.amax(1, keepdim=True)
        is_best = (overlap == own_best) & (own_best > self.min_positive_iou)
        # Where several targets claim an anchor, the last one has it.
        number = torch.arange(len(targets), device=boxes.device)[:, None]
        claimed = torch.where(is_best, number, BACKGROUND).amax(0)
        return Assignment(torch.where(claimed >= 0, claimed, index), iou)


def _holds_a_centre(priors: Priors, targets: Tensor) -> Tensor:
    """(P,) whether the prior's cell holds the centre of any target (N, 4)."""
    stride = priors.stride[:, None]
    cell = ((priors.boxes[:, :2] + priors.boxes[:, 2:]) / 2 / stride).floor()  # (P, 2)
    centre = (targets[:, :2] + targets[:, 2:]) / 2
    return ((centre[:, None] / stride).floor() == cell).all(2).any(0)
