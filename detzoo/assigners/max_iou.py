"""Assignment by highest IoU (Faster R-CNN, https://arxiv.org/abs/1506.01497)."""

from __future__ import annotations

import torch
from torch import Tensor

from detzoo.assigners.base import Assigner
from detzoo.config import ConfigError, UnitFloat, config
from detzoo.ops.boxes import pairwise_iof, pairwise_iou
from detzoo.structures import BACKGROUND, IGNORED, Assignment, Targets


@config
class MaxIoUAssigner(Assigner):
    """Assigns to each box the target with the highest IoU.

    Args:
        positive_iou: IoU at or above which a box is positive.
        negative_iou: IoU below which a box is background; boxes in between are ignored.
        min_positive_iou: IoU at or above which ``match_low_quality`` applies.
        match_low_quality: Whether the best box of a target is positive for it even below
            ``positive_iou``.
        match_ties: Whether this applies to all boxes with the best IoU, not just the first.
        ignored_iof: Boxes are ignored if their IoF with an ignored region is higher; None: off.
    """

    positive_iou: UnitFloat = 0.5
    negative_iou: UnitFloat = 0.5
    min_positive_iou: UnitFloat = 0.0
    match_low_quality: bool = True
    match_ties: bool = True
    ignored_iof: UnitFloat | None = None

    def __post_init__(self) -> None:
        if self.negative_iou > self.positive_iou:
            raise ConfigError(
                f"negative_iou: {self.negative_iou} is above positive_iou {self.positive_iou}"
            )

    def assign(self, boxes: Tensor, targets: Targets) -> Assignment:
        if len(targets) == 0 or len(boxes) == 0:
            index = torch.full((len(boxes),), BACKGROUND, device=boxes.device)
            iou = boxes.new_zeros(len(boxes))
        else:
            index, iou = self.match(pairwise_iou(targets.boxes, boxes))
        if self.ignored_iof is not None and len(targets.ignored_boxes):
            covered = pairwise_iof(boxes, targets.ignored_boxes).amax(1)
            index = index.masked_fill(covered > self.ignored_iof, IGNORED)
        return Assignment(index, iou)

    def match(self, overlap: Tensor) -> tuple[Tensor, Tensor]:
        """Matches N > 0 targets with P boxes by IoU (N, P) -> target index and best IoU (P,)."""
        iou, index = overlap.max(0)
        index = torch.where(
            iou >= self.positive_iou,
            index,
            torch.where(iou < self.negative_iou, BACKGROUND, IGNORED),
        )
        if self.match_low_quality:
            best = overlap.amax(1, keepdim=True)
            # A target without any overlap would otherwise match every box.
            is_best = (overlap == best) & (best >= self.min_positive_iou) & (best > 0)
            if not self.match_ties:
                is_best &= is_best.cumsum(1) == 1
            # A box that is the best of several targets is assigned to the last of them.
            number = torch.arange(len(overlap), device=overlap.device)[:, None]
            claimed = torch.where(is_best, number, BACKGROUND).amax(0)
            index = torch.where(claimed >= 0, claimed, index)
        return index, iou
