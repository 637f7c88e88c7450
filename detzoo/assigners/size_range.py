"""Assignment of points by the size of what they lie in (FCOS, https://arxiv.org/abs/1904.01355)."""

from __future__ import annotations

import torch
from torch import Tensor

from detzoo.assigners.base import PriorAssigner, nothing_to_find
from detzoo.config import ConfigError, config
from detzoo.ops.boxes import box_area, box_centers, inner_distances
from detzoo.ops.constants import constant
from detzoo.structures import BACKGROUND, Assignment, Priors, Targets


@config
class SizeRangeAssigner(PriorAssigner):
    """A point takes the smallest of the targets that it lies in and that are its level's to find.

    Level k finds targets whose farthest side is between ``limits[k - 1]`` and ``limits[k]`` pixels
    from the point; the first level has no lower limit, the last no upper one. With a
    ``center_radius`` a point must be so many strides from the target's centre at most, in x and y.
    """

    limits: tuple[float, ...] = (64.0, 128.0, 256.0, 512.0)
    center_radius: float | None = None

    def __post_init__(self) -> None:
        if list(self.limits) != sorted(self.limits):
            raise ConfigError(f"limits: {self.limits} do not rise")

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
