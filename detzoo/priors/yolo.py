"""The anchors of YOLO (https://arxiv.org/abs/1804.02767)."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch

from detzoo.config import ConfigError, config
from detzoo.priors.anchors import place_in_cells
from detzoo.priors.base import Grids, PriorGrid
from detzoo.structures import Priors


@config
class YOLOAnchors(PriorGrid):
    """Boxes of given ``sizes`` (width, height) around the centre of every cell, for each level."""

    sizes: tuple[tuple[tuple[int, int], ...], ...]

    def __post_init__(self) -> None:
        if len({len(level) for level in self.sizes}) != 1:
            raise ConfigError(f"sizes: {self.sizes} has not the same number on every level")

    @property
    def num_per_cell(self) -> int:
        return len(self.sizes[0])

    def place(self, grids: Grids, strides: Sequence[int], device: torch.device) -> Priors:
        """In a cell, in the order of ``sizes``."""
        return _place(self, grids, tuple(strides), device)


@functools.lru_cache(maxsize=32)
def _place(
    anchors: YOLOAnchors, grids: Grids, strides: tuple[int, ...], device: torch.device
) -> Priors:
    halves = [torch.tensor(level) / 2 for level in anchors.sizes]
    bases = [torch.cat([-half, half], 1) for half in halves]
    return place_in_cells(bases, grids, strides, 0.5, device)
