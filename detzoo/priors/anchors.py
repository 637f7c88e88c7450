"""Anchor boxes on a grid (Faster R-CNN, https://arxiv.org/abs/1506.01497)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from detzoo.config import NonEmpty, PositiveFloat, UnitFloat, config
from detzoo.ops.constants import made_once
from detzoo.priors.base import Grids, PriorGrid
from detzoo.structures import ImageInfo, Priors


@config
class AnchorGrid(PriorGrid):
    """Anchors of every scale and ratio at each cell.

    Args:
        scales: Square roots of the anchors' areas, in strides of the level.
        ratios: Aspect ratios of the anchors, height over width.
        center: Position of anchor centers in a cell, as a fraction of it from its top left corner.
    """

    scales: NonEmpty[PositiveFloat] = (8.0,)
    ratios: NonEmpty[PositiveFloat] = (0.5, 1.0, 2.0)
    center: UnitFloat = 0.0

    @property
    def num_per_cell(self) -> int:
        return len(self.scales) * len(self.ratios)

    def place(self, grids: Grids, strides: Sequence[int], device: torch.device) -> Priors:
        """See :meth:`PriorGrid.place`; priors of a cell are ordered by ratio, then scale."""
        return _place(self, grids, tuple(strides), device)

    @property
    def cell_offset(self) -> float:
        """Where in a cell the origin of its anchors lies, as a fraction from its top left
        corner."""
        return self.center

    def base_anchors(self, stride: int) -> Tensor:
        """Anchors of a cell, (A, 4)."""
        ratio_root = torch.tensor(self.ratios).sqrt()[:, None]
        scales = torch.tensor(self.scales)[None]
        width = (stride / ratio_root * scales).flatten()
        height = (stride * ratio_root * scales).flatten()
        return torch.stack([-width, -height, width, height], 1) / 2


@made_once
def _place(
    anchors: AnchorGrid, grids: Grids, strides: tuple[int, ...], device: torch.device
) -> Priors:
    bases = [anchors.base_anchors(stride) for stride in strides]
    return place_in_cells(bases, grids, strides, anchors.cell_offset, device)


def place_in_cells(
    bases: Sequence[Tensor],
    grids: Grids,
    strides: Sequence[float],
    offset: float,
    device: torch.device,
) -> Priors:
    """Copies the boxes ``bases`` (A, 4) of each level to every cell.

    Cells are ``strides`` pixels apart; the origin of the boxes is placed ``offset`` cells to the
    right of and below a cell's top left corner.
    """
    boxes, level_strides, sizes = [], [], []
    for base, (height, width), stride in zip(bases, grids, strides):
        y = (torch.arange(height) + offset) * stride
        x = (torch.arange(width) + offset) * stride
        origin_y, origin_x = torch.meshgrid(y, x, indexing="ij")
        origins = torch.stack([origin_x, origin_y, origin_x, origin_y], -1)  # (H, W, 4)
        level = (origins[:, :, None] + base).reshape(-1, 4)
        boxes.append(level)
        count = level.shape[0]  # len() would fix it in an exported program
        level_strides.append(torch.full((count,), float(stride)))
        sizes.append(count)
    return Priors(
        torch.cat(boxes).to(device), torch.cat(level_strides).to(device), tuple(sizes), grids
    )


def octave_scales(base: float, count: int) -> tuple[float, ...]:
    """Returns ``count`` logarithmically spaced scales from ``base`` to (excluding) its double."""
    return tuple(base * 2 ** (i / count) for i in range(count))


def inside_image(priors: Priors, info: ImageInfo, border: float | None) -> Tensor:
    """Whether each prior is used in training on this image: (P,).

    Its cell must be inside the image's own padded area, which can be smaller than the batch's, and
    with a ``border``, its box may extend at most that many pixels beyond the image.
    """
    cells = _cells_inside(priors, info.padded_size)
    if border is None:
        return cells
    height, width = info.size
    x1, y1, x2, y2 = priors.boxes.unbind(1)
    fits = (x1 >= -border) & (y1 >= -border) & (x2 < width + border) & (y2 < height + border)
    return cells & fits


def _cells_inside(priors: Priors, size: tuple[int, int]) -> Tensor:
    # Anchors are centered on the top left corner or center of a cell, multiples of half a stride:
    # the margin of half a pixel compensates rounding.
    center = (priors.boxes[:, :2] + priors.boxes[:, 2:]) / 2
    stride = priors.stride[:, None]
    corner = ((center + 0.5) / stride).floor() * stride
    return (corner[:, 0] < size[1]) & (corner[:, 1] < size[0])
