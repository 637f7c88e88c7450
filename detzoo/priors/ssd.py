"""The default boxes of SSD (https://arxiv.org/abs/1512.02325)."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from detzoo.config import ConfigError, config
from detzoo.priors.anchors import place_in_cells
from detzoo.priors.base import Grids, PriorGrid
from detzoo.structures import Priors


@config
class SSDAnchors(PriorGrid):
    """Squares and oblong boxes of one size per level, around the centre of every cell.

    Level k has ``sizes[k]`` pixels: a square of that side, a square of the geometric mean of it and
    the next level's size, and for each of ``ratios[k]`` a wide and a high box of the first square's
    area. ``sizes`` has one more entry than there are levels. Cells are ``strides`` pixels wide:
    the input's size over the map's, which without padding is not what the layers' strides make.
    """

    sizes: tuple[float, ...]
    ratios: tuple[tuple[float, ...], ...]
    strides: tuple[int, ...]

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
        """Boxes in a cell of ``level``."""
        return 2 + 2 * len(self.ratios[level])

    def place(self, grids: Grids, strides: Sequence[int], device: torch.device) -> Priors:
        """In a cell: small square, large square, then wide and high for each ratio."""
        return _place(self, grids, device)

    def base_anchors(self, level: int) -> Tensor:
        """Anchors of a cell centred on the origin, (A, 4)."""
        size, next_size = self.sizes[level : level + 2]
        large = math.sqrt(size * next_size)
        shapes = [(size, size), (large, large)]
        for ratio in self.ratios[level]:
            long, short = size * math.sqrt(ratio), size / math.sqrt(ratio)
            shapes += [(long, short), (short, long)]
        half = torch.tensor(shapes) / 2
        return torch.cat([-half, half], 1)


@functools.lru_cache(maxsize=32)
def _place(anchors: SSDAnchors, grids: Grids, device: torch.device) -> Priors:
    levels = [anchors.base_anchors(level) for level in range(len(grids))]
    return place_in_cells(levels, grids, anchors.strides, 0.5, device)
