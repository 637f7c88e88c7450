"""Assignment of points near the center of targets (FoveaBox, https://arxiv.org/abs/1904.03797)."""

from __future__ import annotations

import torch
from torch import Tensor

from detzoo.assigners.base import PriorAssigner, nothing_to_find
from detzoo.config import Interval, NonEmpty, NonNegativeFloat, PositiveUnitFloat, config
from detzoo.ops.boxes import box_area, box_centers
from detzoo.ops.constants import constant
from detzoo.structures import BACKGROUND, Assignment, Priors, Targets


@config
class FoveaAssigner(PriorAssigner):
    """Assigns to each point the smallest target of its level with a fovea that contains it.

    Args:
        size_ranges: Smallest and largest square root of a target's area, for each level.
        sigma: Side of the fovea, the central region of a target, relative to the target's.
    """

    size_ranges: NonEmpty[Interval[NonNegativeFloat]] = (
        (1.0, 64.0),
        (32.0, 128.0),
        (64.0, 256.0),
        (128.0, 512.0),
        (256.0, 2048.0),
    )
    sigma: PositiveUnitFloat = 0.4

    def assign_priors(self, priors: Priors, targets: Targets, allowed: Tensor) -> Assignment:
        if len(targets) == 0:
            return nothing_to_find(allowed)
        size = box_area(targets.boxes).sqrt()  # (N,)
        ranges = constant(self.size_ranges, size.device)
        of_level = (size >= ranges[:, :1]) & (size <= ranges[:, 1:])  # (L, N)
        candidate = of_level[priors.level] & self._in_fovea(priors, targets.boxes)
        # Of targets with equal size, the later one has precedence.
        rank = size.argsort(descending=True, stable=True).argsort()
        best, index = torch.where(candidate, rank, -1).max(1)
        index = torch.where(best >= 0, index, BACKGROUND)
        return Assignment(index, torch.zeros_like(priors.stride)).ignoring(~allowed)

    def _in_fovea(self, priors: Priors, boxes: Tensor) -> Tensor:
        """Whether points are in the foveas of boxes (N, 4) -> (P, N), in whole cells.

        A fovea beyond the last cell is moved into it.
        """
        stride = priors.stride[:, None, None]
        cell = (box_centers(priors.boxes)[:, None] / stride).floor()  # (P, 1, 2) column, row
        last_cells = tuple((width - 1.0, height - 1.0) for height, width in priors.grids)
        last = constant(last_cells, cell.device)[priors.level][:, None]
        center, half = box_centers(boxes), (boxes[:, 2:] - boxes[:, :2]) * (self.sigma / 2)
        # The center of cell c is at c + 0.5 strides.
        first_cell = ((center - half) / stride - 0.5).ceil()
        last_cell = ((center + half) / stride - 0.5).floor()
        first_cell = torch.minimum(first_cell.clamp(min=0), last)
        last_cell = torch.minimum(last_cell.clamp(min=0), last)
        return ((cell >= first_cell) & (cell <= last_cell)).all(-1)
