"""Assignment for anchors of predicted shape (guided anchoring, https://arxiv.org/abs/1901.03278)."""

from __future__ import annotations

import torch
from torch import Tensor

from detzoo.assigners.base import PriorAssigner
from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.config import NonEmpty, PositiveFloat, config
from detzoo.ops.boxes import pairwise_iou
from detzoo.ops.constants import constant
from detzoo.priors.anchors import octave_scales
from detzoo.structures import BACKGROUND, Assignment, Priors, Targets


@config
class ApproximateIoUAssigner(PriorAssigner):
    """Assigns targets to square priors, whose shape is yet to be predicted, by approximate IoU.

    A prior's IoU with a target is the maximum over anchors of all scales and ratios at its center.

    Args:
        matching: Assigns targets to priors by these IoUs.
        scales: Scales of the anchors, relative to the side of the prior.
        ratios: Aspect ratios of the anchors, height over width.
    """

    matching: MaxIoUAssigner
    scales: NonEmpty[PositiveFloat] = octave_scales(1.0, 3)
    ratios: NonEmpty[PositiveFloat] = (0.5, 1.0, 2.0)

    def assign_priors(self, priors: Priors, targets: Targets, allowed: Tensor) -> Assignment:
        if len(targets) == 0:
            index = torch.full((len(priors),), BACKGROUND, device=priors.boxes.device)
            return Assignment(index, torch.zeros_like(priors.boxes[:, 0])).ignoring(~allowed)
        # A prior that is not allowed must not be the best match of a target, either.
        overlap = torch.where(allowed, self._overlap(priors.boxes, targets.boxes), 0.0)
        return Assignment(*self.matching.match(overlap)).ignoring(~allowed)

    def _overlap(self, squares: Tensor, boxes: Tensor) -> Tensor:
        """The maximum IoU of boxes (N, 4) with any anchor at each square (P, 4) -> (N, P)."""
        center = (squares[:, :2] + squares[:, 2:]) / 2
        side = squares[:, 2:] - squares[:, :2]
        best = squares.new_zeros((len(boxes), len(squares)))
        for ratio in self.ratios:
            for scale in self.scales:
                sides = constant((ratio**-0.5, ratio**0.5), side.device, side.dtype)
                half = side * scale * sides / 2
                shape = torch.cat([center - half, center + half], 1)
                best = torch.maximum(best, pairwise_iou(boxes, shape))
        return best
