"""Assignment of the points nearest to each target (RepPoints, https://arxiv.org/abs/1904.11490)."""

from __future__ import annotations

import torch
from torch import Tensor

from detzoo.assigners.base import PriorAssigner, nothing_to_find
from detzoo.config import PositiveFloat, PositiveInt, config
from detzoo.ops.boxes import box_centers
from detzoo.structures import BACKGROUND, Assignment, Priors, Targets


@config
class PointAssigner(PriorAssigner):
    """Assigns each target to the nearest points of the level for its size.

    Distances are relative to the target's width and height. A point with several targets is
    assigned to the nearest.

    Args:
        scale: Size of a target, the geometric mean of its sides, relative to its level's stride.
        num_points: Number of points per target.
    """

    scale: PositiveFloat = 4.0
    num_points: PositiveInt = 1

    def assign_priors(self, priors: Priors, targets: Targets, allowed: Tensor) -> Assignment:
        if len(targets) == 0:
            return nothing_to_find(allowed)
        size = (targets.boxes[:, 2:] - targets.boxes[:, :2]).clamp(min=1e-6)  # (N, 2)
        point_level = priors.stride.log2().int()
        level = ((size / self.scale).log2().sum(1) / 2).int()
        level = level.clamp(point_level.amin(), point_level.amax())
        shift = box_centers(priors.boxes)[:, None] - box_centers(targets.boxes)
        distance = (shift / size).norm(dim=-1)  # (P, N)
        reachable = (point_level[:, None] == level) & allowed[:, None]
        distance = distance.masked_fill(~reachable, torch.inf)
        nearest = distance.topk(min(self.num_points, len(priors)), 0, largest=False)
        taken = torch.full_like(distance, torch.inf).scatter(0, nearest.indices, nearest.values)
        best, index = taken.min(1)
        index = torch.where(best < torch.inf, index, BACKGROUND)
        return Assignment(index, torch.zeros_like(best)).ignoring(~allowed)
