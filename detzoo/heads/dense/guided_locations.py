"""The location targets of guided anchoring: the centers of objects."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from detzoo.assigners.region import level_of, middle_cells
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
    own_level = level_of(boxes, anchor_size, len(grids))
    is_center, weights = [], []
    for level, (grid, stride) in enumerate(zip(grids, strides)):
        own = (own_level == level)[:, None, None]
        near = ((own_level - level).abs() == 1)[:, None, None]
        center = middle_cells(boxes / stride, center_ratio, grid)  # (N, H, W)
        around = middle_cells(boxes / stride, ignore_ratio, grid)
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
