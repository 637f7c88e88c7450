"""Adaptive training sample selection (https://arxiv.org/abs/1912.02424)."""

from __future__ import annotations

import torch
from torch import Tensor

from detzoo.assigners.base import PriorAssigner, nothing_to_find
from detzoo.config import PositiveInt, config
from detzoo.ops.boxes import box_centers, inner_distances, pairwise_iou
from detzoo.structures import BACKGROUND, Assignment, Priors, Targets


@config
class ATSSAssigner(PriorAssigner):
    """Assigns targets to priors near their center, with an adaptive IoU threshold per target.

    The threshold is the mean plus the standard deviation of the candidates' IoUs. Positives must
    reach it and have their center inside the target; a prior that is positive for several targets
    is assigned to the one with the highest IoU.

    Args:
        candidates_per_level: Number of candidates per level, the priors nearest to the center.
    """

    candidates_per_level: PositiveInt = 9

    def assign_priors(self, priors: Priors, targets: Targets, allowed: Tensor) -> Assignment:
        if len(targets) == 0:
            return nothing_to_find(allowed)
        iou = pairwise_iou(priors.boxes, targets.boxes)  # (P, N)
        return self.assign_rated(priors, targets, allowed, iou)

    def assign_rated(
        self, priors: Priors, targets: Targets, allowed: Tensor, iou: Tensor
    ) -> Assignment:
        """Assigns one or more targets by a matching quality in place of ``iou`` (P, N)."""
        centers = box_centers(priors.boxes)[:, None]
        distance = (centers - box_centers(targets.boxes)).square().sum(-1).sqrt()
        distance = distance.masked_fill(~allowed[:, None], torch.inf)
        inside = inner_distances(centers, targets.boxes).amin(-1) > 0.01

        candidate = self._nearest(distance, priors.level_sizes)  # (K, N) indices
        # On levels with fewer allowed priors than candidates, some candidates are not real.
        real = distance.gather(0, candidate) < torch.inf
        candidate_iou = iou.gather(0, candidate)
        threshold = _mean_plus_deviation(candidate_iou, real)
        taken = real & (candidate_iou >= threshold) & inside.gather(0, candidate)

        rank = torch.full_like(iou, -1.0).scatter(
            0, candidate, torch.where(taken, candidate_iou, -1.0)
        )
        best, index = rank.max(1)
        index = torch.where(best >= 0, index, BACKGROUND)
        return Assignment(index, best.clamp(min=0)).ignoring(~allowed)

    def _nearest(self, distance: Tensor, level_sizes: tuple[int, ...]) -> Tensor:
        """Selects candidates of all levels by distance (P, N) -> indices (K, N)."""
        candidates, start = [], 0
        for level in distance.split(level_sizes):
            count = min(self.candidates_per_level, len(level))
            candidates.append(level.topk(count, 0, largest=False).indices + start)
            start += len(level)
        return torch.cat(candidates)


def _mean_plus_deviation(values: Tensor, real: Tensor) -> Tensor:
    """Mean plus standard deviation of the ``real`` (K, N) values (K, N) of each column -> (N,)."""
    count = real.sum(0)
    mean = (values * real).sum(0) / count.clamp(min=1)
    variance = ((values - mean).square() * real).sum(0) / (count - 1).clamp(min=1)
    return mean + variance.sqrt()
