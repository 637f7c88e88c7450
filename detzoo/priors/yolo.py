"""The anchors of YOLOv3 (https://arxiv.org/abs/1804.02767)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from detzoo.config import ConfigError, NonEmpty, PositiveInt, config
from detzoo.ops.constants import made_once
from detzoo.priors.anchors import place_in_cells
from detzoo.priors.base import Grids, PriorGrid
from detzoo.structures import Priors


@config
class YOLOAnchors(PriorGrid):
    """Anchors of given sizes around the center of each cell.

    Args:
        sizes: The anchors (width, height) in pixels of each level, the same number on all levels.
    """

    sizes: NonEmpty[NonEmpty[tuple[PositiveInt, PositiveInt]]]

    def __post_init__(self) -> None:
        if len({len(level) for level in self.sizes}) != 1:
            raise ConfigError(f"sizes: {self.sizes} does not have the same number on every level")

    @property
    def num_per_cell(self) -> int:
        return len(self.sizes[0])

    def place(self, grids: Grids, strides: Sequence[int], device: torch.device) -> Priors:
        """See :meth:`PriorGrid.place`; priors of a cell are in the order of ``sizes``."""
        return _place(self, grids, tuple(strides), device)


@made_once
def _place(
    anchors: YOLOAnchors, grids: Grids, strides: tuple[int, ...], device: torch.device
) -> Priors:
    halves = [torch.tensor(level) / 2 for level in anchors.sizes]
    bases = [torch.cat([-half, half], 1) for half in halves]
    return place_in_cells(bases, grids, strides, 0.5, device)
