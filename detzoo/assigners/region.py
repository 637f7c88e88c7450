"""Assignment by the region around a target's center (https://arxiv.org/abs/1901.03278)."""

from __future__ import annotations

import torch
from torch import Tensor

from detzoo.assigners.base import PriorAssigner, nothing_to_find
from detzoo.config import UnitFloat, config
from detzoo.structures import BACKGROUND, IGNORED, Assignment, Priors, Targets


@config
class RegionAssigner(PriorAssigner):
    """Assigns the one prior of each cell to a target in whose center the cell lies.

    A target belongs to a single level, that whose priors are nearest to it in size. Of targets of
    one level that overlap, the last one determines the cells around its center.

    Args:
        center_ratio: Fraction of a target's sides within which cells are positive.
        ignore_ratio: Fraction of a target's sides within which all other cells are ignored.
    """

    center_ratio: UnitFloat = 0.2
    ignore_ratio: UnitFloat = 0.5

    def assign_priors(self, priors: Priors, targets: Targets, allowed: Tensor) -> Assignment:
        if len(targets) == 0:
            return nothing_to_find(allowed)
        index = []
        finest = (priors.boxes[0, 2:] - priors.boxes[0, :2]).prod().sqrt()
        own_level = level_of(targets.boxes, finest, len(priors.grids))
        strides = [stride[0] for stride in priors.stride.split(priors.level_sizes)]
        for level, (grid, stride) in enumerate(zip(priors.grids, strides)):
            own = (own_level == level)[:, None, None]
            center = middle_cells(targets.boxes / stride, self.center_ratio, grid)  # (N, H, W)
            around = middle_cells(targets.boxes / stride, self.ignore_ratio, grid) & own
            number = torch.arange(len(targets), device=own.device)[:, None, None]
            last = torch.where(around, number, BACKGROUND).amax(0)
            is_center = center.gather(0, last.clamp(min=0)[None])[0]
            in_region = torch.where(is_center, last, IGNORED)
            index.append(torch.where(last >= 0, in_region, BACKGROUND).flatten())
        no_overlap = torch.zeros(allowed.shape, device=allowed.device)
        return Assignment(torch.cat(index), no_overlap).ignoring(~allowed)


def level_of(boxes: Tensor, finest: Tensor | float, num_levels: int) -> Tensor:
    """The level of boxes (N, 4) by size: the first up to about ``finest`` pixels, then one per
    octave -> (N,)."""
    scale = (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt()
    return ((scale / finest).log2() + 0.5).floor().clamp(0, num_levels - 1)


def middle_cells(boxes: Tensor, ratio: float, grid: tuple[int, int]) -> Tensor:
    """Which cells are within ``ratio`` of the sides of boxes (N, 4), in cells -> bool (N, H, W)."""
    margin = (1 - ratio) / 2
    low, high = boxes[:, :2], boxes[:, 2:]
    first = ((1 - margin) * low + margin * high).round()[..., None, None]
    last = (margin * low + (1 - margin) * high).round()[..., None, None]
    y, x = (torch.arange(side, device=boxes.device) for side in grid)
    inside_x = (x >= first[:, 0].clamp(min=0)) & (x <= last[:, 0].clamp(min=0))
    y = y[:, None]
    inside_y = (y >= first[:, 1].clamp(min=0)) & (y <= last[:, 1].clamp(min=0))
    return inside_x & inside_y
