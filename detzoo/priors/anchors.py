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
    bases = [anchors.base_anchors(stride) for stride in strides]
    return place_in_cells(bases, grids, strides, 0.0, device)


# What is placed during inference is kept for training.
@torch.inference_mode(False)
def place_in_cells(
    bases: Sequence[Tensor],
    grids: Grids,
    strides: Sequence[int],
    offset: float,
    device: torch.device,
) -> Priors:
    """The boxes ``bases`` (A, 4) of each level, moved to every cell.

    Their origin comes to lie ``offset`` cells right of and below the cell's top left corner.
    """
    boxes, level_strides, sizes = [], [], []
    for base, (height, width), stride in zip(bases, grids, strides):
        y = (torch.arange(height) + offset) * stride
        x = (torch.arange(width) + offset) * stride
        origin_y, origin_x = torch.meshgrid(y, x, indexing="ij")
        origins = torch.stack([origin_x, origin_y, origin_x, origin_y], -1)  # (H, W, 4)
        level = (origins[:, :, None] + base).reshape(-1, 4)
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
    # The centre of a cell's anchors is its top left corner or its middle. Both are multiples of
    # half a stride: half a pixel keeps out what rounding does to them.
    centre = (priors.boxes[:, :2] + priors.boxes[:, 2:]) / 2
    stride = priors.stride[:, None]
    corner = ((centre + 0.5) / stride).floor() * stride
    return (corner[:, 0] < size[1]) & (corner[:, 1] < size[0])
