"""Task-aligned assignment (TOOD, https://arxiv.org/abs/2108.07755)."""

from __future__ import annotations

import torch
from torch import Tensor

from detzoo.config import NonNegativeFloat, PositiveInt, config
from detzoo.ops.boxes import box_centers, inner_distances, pairwise_iou
from detzoo.structures import BACKGROUND, Assignment, Priors, Targets

EPS = 1e-7


@config
class TaskAlignedAssigner:
    """Assigns each target to the priors with the best alignment of classification and localization.

    The alignment metric is ``score**score_exponent * iou**iou_exponent``. Only priors whose center
    is inside the target can be positive; a prior with several targets is assigned to the one with
    the highest IoU.

    Args:
        num_candidates: Number of best priors per target.
        score_exponent: Exponent of the score of the target's class.
        iou_exponent: Exponent of the IoU of the predicted box.
    """

    num_candidates: PositiveInt = 13
    score_exponent: NonNegativeFloat = 1.0
    iou_exponent: NonNegativeFloat = 6.0

    def assign(
        self, priors: Priors, scores: Tensor, boxes: Tensor, targets: Targets, allowed: Tensor
    ) -> tuple[Assignment, Tensor]:
        """Assigns targets by the ``scores`` (P, C) and ``boxes`` (P, 4) predicted at the priors.

        Also returns the alignment (P,) of each prior with its target: the metric, scaled such that
        its maximum per target is the highest IoU among the target's priors. It is 0 for priors that
        are not positive. Priors that are not ``allowed`` (P,) are ignored.
        """
        if len(targets) == 0:
            index = torch.full((len(priors),), BACKGROUND, device=boxes.device)
            nothing = boxes.new_zeros(len(priors))
            return Assignment(index, nothing).ignoring(~allowed), nothing
        iou = pairwise_iou(boxes, targets.boxes)  # (P, N)
        fit = scores[:, targets.labels].pow(self.score_exponent) * iou.pow(self.iou_exponent)
        fit = torch.where(allowed[:, None], fit, 0.0)
        best = fit.topk(min(self.num_candidates, len(fit)), 0).indices
        claimed = torch.zeros_like(fit, dtype=torch.bool).scatter(0, best, True)
        centers = box_centers(priors.boxes)[:, None]
        inside = inner_distances(centers, targets.boxes).amin(-1) > 0.01
        claimed &= inside & (fit > 0)

        own_iou, index = torch.where(claimed, iou, -1.0).max(1)
        is_positive = own_iou >= 0
        own_fit = torch.where(is_positive, fit.gather(1, index[:, None])[:, 0], 0.0)
        # The scale of each target's metrics: (N,).
        zeros = fit.new_zeros(len(targets))
        best_fit = zeros.scatter_reduce(0, index, own_fit, "amax")
        best_iou = zeros.scatter_reduce(0, index, own_iou, "amax")
        alignment = own_fit / (best_fit[index] + EPS) * best_iou[index]
        index = torch.where(is_positive, index, BACKGROUND)
        return Assignment(index, own_iou.clamp(min=0)).ignoring(~allowed), alignment
