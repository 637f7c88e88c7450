"""Points on a grid (FCOS, https://arxiv.org/abs/1904.01355)."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch

from detzoo.config import config
from detzoo.priors.anchors import place_in_cells
from detzoo.priors.base import Grids, PriorGrid
from detzoo.structures import Priors


@config
class PointGrid(PriorGrid):
    """One point per cell, ``offset`` cells from its top left corner: 0.5 is its middle.

    Each is the centre of a square with a side of ``size`` cells, for codes in units of the prior.
    """

    offset: float = 0.5
    size: float = 0.0

    @property
    def num_per_cell(self) -> int:
        return 1

    def place(self, grids: Grids, strides: Sequence[int], device: torch.device) -> Priors:
        return _place(self, grids, tuple(strides), device)


@functools.lru_cache(maxsize=32)
def _place(
    points: PointGrid, grids: Grids, strides: tuple[int, ...], device: torch.device
) -> Priors:
    square = torch.tensor([[-0.5, -0.5, 0.5, 0.5]]) * points.size
    return place_in_cells([square * s for s in strides], grids, strides, points.offset, device)
