"""Assignment by highest IoU (Faster R-CNN, https://arxiv.org/abs/1506.01497)."""

from __future__ import annotations

import torch
from torch import Tensor

from detzoo.assigners.base import Assigner
from detzoo.config import ConfigError, config
from detzoo.ops.boxes import pairwise_iof, pairwise_iou
from detzoo.structures import BACKGROUND, IGNORED, Assignment, Targets


@config
class MaxIoUAssigner(Assigner):
    """Each box takes the target it overlaps most.

    From ``positive_iou`` on it is trained on that target, below ``negative_iou`` it is background,
    between them it is ignored. With ``match_low_quality`` every target also takes the boxes that
    overlap it most, if by ``min_positive_iou`` at least, even from better targets: of several that
    overlap it equally the first one, or with ``match_ties`` all of them. Boxes covered by an
    ignored region by more than ``ignored_coverage`` are ignored.
    """

    positive_iou: float = 0.5
    negative_iou: float = 0.5
    min_positive_iou: float = 0.0
    match_low_quality: bool = True
    match_ties: bool = True
    ignored_coverage: float | None = None

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
        if self.ignored_coverage is not None and len(targets.ignored_boxes):
            covered = pairwise_iof(boxes, targets.ignored_boxes).amax(1)
            index = index.masked_fill(covered > self.ignored_coverage, IGNORED)
        return Assignment(index, iou)

    def match(self, overlap: Tensor) -> tuple[Tensor, Tensor]:
        """IoU of N > 0 targets with P boxes (N, P) -> target index (P,) and best IoU (P,)."""
        iou, index = overlap.max(0)
        index = torch.where(
            iou >= self.positive_iou,
            index,
            torch.where(iou < self.negative_iou, BACKGROUND, IGNORED),
        )
        if self.match_low_quality:
            best = overlap.amax(1, keepdim=True)
            # A target that overlaps nothing would otherwise take every box.
            is_best = (overlap == best) & (best >= self.min_positive_iou) & (best > 0)
            if not self.match_ties:
                is_best &= is_best.cumsum(1) == 1
            # Where several targets claim a box, the last one has it.
            number = torch.arange(len(overlap), device=overlap.device)[:, None]
            claimed = torch.where(is_best, number, BACKGROUND).amax(0)
            index = torch.where(claimed >= 0, claimed, index)
        return index, iou
