"""Adaptive training sample selection by what is predicted (DDOD, https://arxiv.org/abs/2107.02963)."""

from __future__ import annotations

from torch import Tensor

from detzoo.assigners.atss import ATSSAssigner
from detzoo.assigners.base import nothing_to_find
from detzoo.config import PositiveInt, UnitFloat, config
from detzoo.ops.boxes import pairwise_iou
from detzoo.structures import Assignment, Priors, Targets


@config
class PredictedATSSAssigner:
    """Assigns priors near a target's center that predict it well.

    As ATSS, but in place of the IoU of a prior it looks at the geometric mean of the IoU of the
    predicted box and the score of the target's class.

    Args:
        candidates_per_level: How many of the priors nearest to the center are candidates.
        iou_weight: Weight of the IoU in the mean; that of the score is one minus it.
    """

    candidates_per_level: PositiveInt = 9
    iou_weight: UnitFloat = 0.8

    def assign(
        self, priors: Priors, scores: Tensor, boxes: Tensor, targets: Targets, allowed: Tensor
    ) -> Assignment:
        """Assigns targets by the ``scores`` (P, C) and ``boxes`` (P, 4) predicted at the priors.

        Priors that are not ``allowed`` (P,) are ignored.
        """
        if len(targets) == 0:
            return nothing_to_find(allowed)
        iou = pairwise_iou(boxes, targets.boxes)  # (P, N)
        score = scores[:, targets.labels]
        match = score.pow(1 - self.iou_weight) * iou.pow(self.iou_weight)
        rule = ATSSAssigner(candidates_per_level=self.candidates_per_level)
        return rule.assign_rated(priors, targets, allowed, match)
