"""The default boxes of SSD (https://arxiv.org/abs/1512.02325)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from detzoo.config import ConfigError, NonEmpty, PositiveFloat, PositiveInt, config
from detzoo.ops.constants import made_once
from detzoo.priors.anchors import place_in_cells
from detzoo.priors.base import Grids, PriorGrid
from detzoo.structures import Priors


@config
class SSDAnchors(PriorGrid):
    """Anchors of one size and several ratios per level, around the center of each cell.

    A level has a small square, a large square whose side is the geometric mean of its size and the
    next level's, and for each ratio a wide and a tall box with the small square's area.

    Args:
        sizes: Side of the small square in pixels, for each level and one level more.
        ratios: Aspect ratios of the wide and tall boxes, long over short side, for each level.
        strides: Ratio of input size to map size for each level. Without padding this
            differs from the product of the layers' strides.
    """

    sizes: NonEmpty[PositiveFloat]
    ratios: NonEmpty[tuple[PositiveFloat, ...]]
    strides: NonEmpty[PositiveInt]

    def __post_init__(self) -> None:
        if not len(self.sizes) - 1 == len(self.ratios) == len(self.strides):
            raise ConfigError(
                f"sizes: {len(self.sizes)} for {len(self.ratios)} ratios and "
                f"{len(self.strides)} strides; there must be one more size than levels"
            )

    @property
    def num_per_cell(self) -> int:
        return self.num_on(0)

    def num_on(self, level: int) -> int:
        """The number of anchors per cell of ``level``."""
        return 2 + 2 * len(self.ratios[level])

    def place(self, grids: Grids, strides: Sequence[int], device: torch.device) -> Priors:
        """See :meth:`PriorGrid.place`; the priors of a cell are the small square, the large square,
        then wide and tall boxes for each ratio.
        """
        return _place(self, grids, device)

    @property
    def cell_offset(self) -> float:
        """Where in a cell the origin of its anchors lies, as a fraction from its top left
        corner."""
        return 0.5

    def base_anchors(self, level: int) -> Tensor:
        """The anchors of a cell, (A, 4)."""
        size, next_size = self.sizes[level : level + 2]
        large = math.sqrt(size * next_size)
        shapes = [(size, size), (large, large)]
        for ratio in self.ratios[level]:
            long, short = size * math.sqrt(ratio), size / math.sqrt(ratio)
            shapes += [(long, short), (short, long)]
        half = torch.tensor(shapes) / 2
        return torch.cat([-half, half], 1)


@made_once
def _place(anchors: SSDAnchors, grids: Grids, device: torch.device) -> Priors:
    levels = [anchors.base_anchors(level) for level in range(len(grids))]
    return place_in_cells(levels, grids, anchors.strides, anchors.cell_offset, device)
