"""Assignment of points to the targets that contain them, by size (FCOS, https://arxiv.org/abs/1904.01355)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from detzoo.assigners.base import PriorAssigner, nothing_to_find
from detzoo.config import Ascending, PositiveFloat, config
from detzoo.ops.boxes import box_area, box_centers, inner_distances
from detzoo.ops.constants import constant
from detzoo.structures import BACKGROUND, Assignment, Priors, Targets


@config
class SizeRangeAssigner(PriorAssigner):
    """Assigns to each point the smallest target of its level that contains it.

    Level k is for targets whose farthest side is between ``limits[k - 1]`` and ``limits[k]``
    pixels from the point.

    Args:
        limits: Distances in pixels that separate the levels, in ascending order.
        center_radius: Center sampling: maximum distance from the target's center in x and in y, in
            strides; None: all points inside the target are positive.
    """

    limits: Annotated[tuple[PositiveFloat, ...], Ascending()] = (64.0, 128.0, 256.0, 512.0)
    center_radius: PositiveFloat | None = None

    def assign_priors(self, priors: Priors, targets: Targets, allowed: Tensor) -> Assignment:
        if len(targets) == 0:
            return nothing_to_find(allowed)
        points, boxes = box_centers(priors.boxes)[:, None], targets.boxes[None]
        distances = inner_distances(points, boxes)  # (P, N, 4)
        candidate = (distances > 0).all(-1)
        if self.center_radius is not None:
            reach = self.center_radius * priors.stride[:, None, None]
            candidate &= ((points - box_centers(boxes)).abs() < reach).all(-1)
        farthest = distances.amax(-1)
        bounds = constant((-torch.inf, *self.limits, torch.inf), farthest.device)
        level = priors.level[:, None]
        candidate &= (farthest >= bounds[level]) & (farthest <= bounds[level + 1])
        area = torch.where(candidate, box_area(boxes), torch.inf)
        smallest, index = area.min(1)
        index = torch.where(smallest < torch.inf, index, BACKGROUND)
        return Assignment(index, torch.zeros_like(smallest)).ignoring(~allowed)
