"""The location targets of guided anchoring: the centers of objects."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from detzoo.priors.base import Grids

NEGATIVE_WEIGHT = 0.1


def location_targets(
    boxes: Tensor,
    grids: Grids,
    strides: Sequence[int],
    *,
    anchor_size: float,
    center_ratio: float,
    ignore_ratio: float,
) -> tuple[Tensor, Tensor]:
    """Which cells are at the center of a target of boxes (N, 4) -> bool (P,), and their weights
    (P,).

    Each target is assigned to a single level: the first for sizes up to about ``anchor_size``
    pixels, then one level per octave. There, the cells within ``center_ratio`` of its box are
    positive, and others within ``ignore_ratio`` are ignored, as are all of these on the adjacent
    levels. All other cells are negative, with a small weight, since there are many.
    """
    scale = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sqrt()
    own_level = ((scale / anchor_size).log2() + 0.5).floor().clamp(0, len(grids) - 1)
    is_center, weights = [], []
    for level, (grid, stride) in enumerate(zip(grids, strides)):
        own = (own_level == level)[:, None, None]
        near = ((own_level - level).abs() == 1)[:, None, None]
        center = _middle(boxes / stride, center_ratio, grid)  # (N, H, W)
        around = _middle(boxes / stride, ignore_ratio, grid)
        # Where targets of one level overlap, the last one determines the weights around it.
        number = torch.arange(1, len(boxes) + 1, device=boxes.device)[:, None, None]
        none = number.new_zeros((1, *grid))
        last = torch.cat([none, (around & own) * number]).amax(0)
        in_center_of_last = torch.cat([none.bool(), center]).gather(0, last[None])[0]
        negative = torch.where((around & near).any(0), 0.0, NEGATIVE_WEIGHT)
        weight = torch.where(last > 0, in_center_of_last.float(), negative)
        is_center.append((center & own).any(0).flatten())
        weights.append(weight.flatten())
    return torch.cat(is_center), torch.cat(weights)


def _middle(boxes: Tensor, ratio: float, grid: tuple[int, int]) -> Tensor:
    """Which cells are within ``ratio`` of the sides of boxes (N, 4), in cells -> bool (N, H, W)."""
    margin = (1 - ratio) / 2
    low, high = boxes[:, :2], boxes[:, 2:]
    first = ((1 - margin) * low + margin * high).round()[..., None, None]
    last = (margin * low + (1 - margin) * high).round()[..., None, None]
    y, x = (torch.arange(side, device=boxes.device) for side in grid)
    inside_x = (x >= first[:, 0].clamp(min=0)) & (x <= last[:, 0].clamp(min=0))
    y = y[:, None]
    inside_y = (y >= first[:, 1].clamp(min=0)) & (y <= last[:, 1].clamp(min=0))
    return inside_x & inside_y
