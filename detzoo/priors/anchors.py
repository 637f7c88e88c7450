"""Anchor boxes on a grid (Faster R-CNN, https://arxiv.org/abs/1506.01497)."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from detzoo.config import ConfigError, config
from detzoo.priors.base import Grids, PriorGrid
from detzoo.structures import ImageInfo, Priors


@config
class AnchorGrid(PriorGrid):
    """At every cell one anchor per (ratio, scale), centred on the cell's top left corner.

    An anchor of scale s has the area of a square of s times the level's stride; its ``ratio`` is
    height over width.
    """

    scales: tuple[float, ...] = (8.0,)
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)

    def __post_init__(self) -> None:
        for name, values in (("scales", self.scales), ("ratios", self.ratios)):
            if not values or min(values) <= 0:
                raise ConfigError(f"{name}: {values} is not one or more positive numbers")

    @property
    def num_per_cell(self) -> int:
        return len(self.scales) * len(self.ratios)

    def place(self, grids: Grids, strides: Sequence[int], device: torch.device) -> Priors:
        """In a cell, ordered by ratio, then scale."""
        return _place(self, grids, tuple(strides), device)

    def base_anchors(self, stride: int) -> Tensor:
        """Anchors of the cell at the origin, (A, 4)."""
        ratio_root = torch.tensor(self.ratios).sqrt()[:, None]
        scales = torch.tensor(self.scales)[None]
        width = (stride / ratio_root * scales).flatten()
        height = (stride * ratio_root * scales).flatten()
        return torch.stack([-width, -height, width, height], 1) / 2


@functools.lru_cache(maxsize=32)
def _place(
    anchors: AnchorGrid, grids: Grids, strides: tuple[int, ...], device: torch.device
) -> Priors:
    boxes, level_strides, sizes = [], [], []
    for (height, width), stride in zip(grids, strides):
        y = torch.arange(height) * stride
        x = torch.arange(width) * stride
        corner_y, corner_x = torch.meshgrid(y, x, indexing="ij")
        corners = torch.stack([corner_x, corner_y, corner_x, corner_y], -1)  # (H, W, 4)
        level = (corners[:, :, None] + anchors.base_anchors(stride)).reshape(-1, 4)
        boxes.append(level)
        level_strides.append(torch.full((len(level),), float(stride)))
        sizes.append(len(level))
    return Priors(
        torch.cat(boxes).to(device), torch.cat(level_strides).to(device), tuple(sizes), grids
    )


def octave_scales(base: float, count: int) -> tuple[float, ...]:
    """``count`` scales from ``base`` up to, but not including, its double, evenly in logarithm."""
    return tuple(base * 2 ** (i / count) for i in range(count))


def inside_image(priors: Priors, info: ImageInfo, border: float | None) -> Tensor:
    """(P,) whether a prior may be trained on in this image.

    Its cell must lie in the image's own padded area, which can be smaller than the batch's, and
    with a ``border`` its box may reach at most so many pixels beyond the image.
    """
    cells = _cells_inside(priors, info.padded_size)
    if border is None:
        return cells
    height, width = info.size
    x1, y1, x2, y2 = priors.boxes.unbind(1)
    fits = (x1 >= -border) & (y1 >= -border) & (x2 < width + border) & (y2 < height + border)
    return cells & fits


def _cells_inside(priors: Priors, size: tuple[int, int]) -> Tensor:
    # Anchors of one cell share their centre, at the cell's top left corner (a multiple of the
    # stride), so "cell index < ceil(size / stride)" is "centre < size". Both are whole numbers:
    # half a pixel keeps out a centre that rounding has moved below the border.
    centre = (priors.boxes[:, :2] + priors.boxes[:, 2:]) / 2
    return (centre[:, 0] < size[1] - 0.5) & (centre[:, 1] < size[0] - 0.5)
