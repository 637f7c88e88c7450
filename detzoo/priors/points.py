"""Points on a grid (FCOS, https://arxiv.org/abs/1904.01355)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from detzoo.config import NonNegativeFloat, UnitFloat, config
from detzoo.ops.constants import made_once
from detzoo.priors.anchors import place_in_cells
from detzoo.priors.base import Grids, PriorGrid
from detzoo.structures import Priors


@config
class PointGrid(PriorGrid):
    """One point per cell, as the center of a square prior.

    Args:
        offset: Position of the point in its cell: 0 is the top left corner, 0.5 the middle.
        size: Side of the square in cells, for coders whose deltas are relative to it.
    """

    offset: UnitFloat = 0.5
    size: NonNegativeFloat = 0.0

    @property
    def num_per_cell(self) -> int:
        return 1

    def place(self, grids: Grids, strides: Sequence[int], device: torch.device) -> Priors:
        return _place(self, grids, tuple(strides), device)


@made_once
def _place(
    points: PointGrid, grids: Grids, strides: tuple[int, ...], device: torch.device
) -> Priors:
    square = torch.tensor([[-0.5, -0.5, 0.5, 0.5]]) * points.size
    return place_in_cells([square * s for s in strides], grids, strides, points.offset, device)
