"""Prediction-aware adaptive training sample selection (DDOD, https://arxiv.org/abs/2107.02963)."""

from __future__ import annotations

from torch import Tensor

from detzoo.assigners.atss import ATSSAssigner
from detzoo.assigners.base import nothing_to_find
from detzoo.config import PositiveInt, UnitFloat, config
from detzoo.ops.boxes import pairwise_iou
from detzoo.structures import Assignment, Priors, Targets


@config
class PredictedATSSAssigner:
    """Assigns targets to priors near their center that predict them well.

    Like ATSS, but instead of the IoU of a prior it uses the geometric mean of the IoU of the
    predicted box and the score of the target's class.

    Args:
        candidates_per_level: Number of candidates per level, the priors nearest to the center.
        iou_weight: Weight of the IoU in the mean; the score has 1 - iou_weight.
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
