"""Adaptive training sample selection (https://arxiv.org/abs/1912.02424)."""

from __future__ import annotations

import torch
from torch import Tensor

from detzoo.assigners.base import PriorAssigner, nothing_to_find
from detzoo.config import ConfigError, config
from detzoo.ops.boxes import box_centers, inner_distances, pairwise_iou
from detzoo.structures import BACKGROUND, Assignment, Priors, Targets


@config
class ATSSAssigner(PriorAssigner):
    """Each target finds its own IoU threshold among the priors next to its centre.

    Those are the nearest ``candidates_per_level``. A target takes the candidates whose IoU is at
    least the mean of all plus their standard deviation, if their centre lies inside it; a prior
    that several targets take goes to the one it overlaps most.
    """

    candidates_per_level: int = 9

    def __post_init__(self) -> None:
        if self.candidates_per_level < 1:
            raise ConfigError(
                f"candidates_per_level: {self.candidates_per_level} is not at least 1"
            )

    def assign_priors(self, priors: Priors, targets: Targets, allowed: Tensor) -> Assignment:
        if len(targets) == 0:
            return nothing_to_find(allowed)
        iou = pairwise_iou(priors.boxes, targets.boxes)  # (P, N)
        centres = box_centers(priors.boxes)[:, None]
        distance = (centres - box_centers(targets.boxes)).square().sum(-1).sqrt()
        distance = distance.masked_fill(~allowed[:, None], torch.inf)
        inside = inner_distances(centres, targets.boxes).amin(-1) > 0.01

        candidate = self._nearest(distance, priors.level_sizes)  # (K, N) indices
        # Of a level with fewer priors in the image than wanted, some are not real.
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
        """Distances (P, N) -> indices (K, N) of the candidates of all levels."""
        candidates, start = [], 0
        for level in distance.split(level_sizes):
            count = min(self.candidates_per_level, len(level))
            candidates.append(level.topk(count, 0, largest=False).indices + start)
            start += len(level)
        return torch.cat(candidates)


def _mean_plus_deviation(values: Tensor, real: Tensor) -> Tensor:
    """Over the ``real`` (K, N) entries of each column of ``values`` (K, N) -> (N,)."""
    count = real.sum(0)
    mean = (values * real).sum(0) / count.clamp(min=1)
    variance = ((values - mean).square() * real).sum(0) / (count - 1).clamp(min=1)
    return mean + variance.sqrt()
