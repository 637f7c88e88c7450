"""Assigns objects to grid cells (SOLO, https://arxiv.org/abs/1912.04488)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def claims(
    boxes: Tensor,
    bitmaps: Tensor,
    input_size: tuple[int, int],
    grid: int,
    scale_range: tuple[float, float],
    center_fraction: float,
    is_missing: Tensor | None = None,
) -> Tensor:
    """Assigns cells of a ``grid`` over the input to each object -> (N, grid, grid) bool.

    Objects are ``boxes`` (N, 4) with ``bitmaps`` (N, H, W). An object whose square root of box area
    is within ``scale_range`` is assigned the cells touched by a region around its mask's center of
    mass, with ``center_fraction`` of the box's sides: at most 3x3 cells. For an object whose mask
    ``is_missing`` (N,), the center is that of its box.
    """
    if len(boxes) == 0:
        return torch.zeros((0, grid, grid), dtype=torch.bool, device=boxes.device)
    sides = boxes[:, 2:] - boxes[:, :2]
    scale = sides.prod(1).sqrt()
    fits = (scale >= scale_range[0]) & (scale <= scale_range[1])
    inside = bitmaps > 0
    has_pixels = inside.flatten(1).any(1)
    fits &= has_pixels if is_missing is None else has_pixels | is_missing
    number = torch.arange(grid, device=boxes.device)
    touched = []
    for axis, of in zip((1, 0), input_size):  # rows, then columns
        center = _center_of_mass(inside, axis)
        if is_missing is not None:
            box_center = boxes[:, axis] + 0.5 * sides[:, axis]
            center = torch.where(is_missing, box_center, center)
        reach = 0.5 * sides[:, axis] * center_fraction
        middle, low, high = (
            torch.div(place / of, 1.0 / grid, rounding_mode="trunc")[:, None]
            for place in (center, center - reach, center + reach)
        )
        first, last = torch.maximum(low, middle - 1), torch.minimum(high, middle + 1)
        touched.append((number >= first) & (number <= last))
    rows, columns = touched
    return rows[:, :, None] & columns[:, None] & fits[:, None, None]


def owners(claimed: Tensor) -> Tensor:
    """The object of each cell (grid, grid), -1 for none: the last one that it is assigned to (N,
    grid, grid).
    """
    if len(claimed) == 0:
        return torch.full(claimed.shape[1:], -1, device=claimed.device)
    objects = torch.arange(len(claimed), device=claimed.device)[:, None, None]
    return torch.where(claimed, objects, -1).amax(0)


def shrink(bitmaps: Tensor, stride: int, grid: tuple[int, int]) -> Tensor:
    """Downsamples masks (N, H, W) of 0 and 1 by ``stride`` -> (N, *grid).

    A cell is 1 if at least two of the four pixels at its center are.
    """
    height, width = grid[0] * stride, grid[1] * stride
    padding = (0, width - bitmaps.shape[2], 0, height - bitmaps.shape[1])
    pixels = F.pad(bitmaps.to(torch.uint8), padding)
    first = stride // 2 - 1
    count = sum(
        pixels[:, first + down :: stride, first + across :: stride]
        for down in (0, 1)
        for across in (0, 1)
    )
    assert isinstance(count, Tensor)
    return (count >= 2).float()


def learned_masks(claimed: Sequence[Sequence[Tensor]]) -> list[list[tuple[Tensor, Tensor]]]:
    """Converts masks (N, grid, grid) of trained cells to pairs of object (K,) and cell (K,), for
    each image and level; copies to the host once.
    """
    flat = torch.cat([level.flatten() for image in claimed for level in image])
    on_host = flat.cpu().split([level.numel() for image in claimed for level in image])
    parts = iter(on_host)
    pairs: list[list[tuple[Tensor, Tensor]]] = []
    for image in claimed:
        pairs.append([])
        for level in image:
            index = next(parts).nonzero()[:, 0].to(flat.device)
            cells = level[0].numel() if len(level) else 1
            pairs[-1].append((index // cells, index % cells))
    return pairs


def _center_of_mass(inside: Tensor, axis: int) -> Tensor:
    """Mean row (``axis`` 1) or column (0) of bool masks (N, H, W) -> (N,)."""
    count = inside.sum(2 if axis == 1 else 1)  # per row, or per column
    place = torch.arange(count.shape[1], device=inside.device)
    # Integers until the division: sums over a large image exceed the precision of float32.
    return (count * place).sum(1) / count.sum(1).float().clamp(min=1e-6)
