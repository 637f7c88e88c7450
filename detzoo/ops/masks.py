"""Pasting predicted mask grids into images."""

from __future__ import annotations

import torch
from torch import Tensor


def paste_masks(
    probabilities: Tensor, boxes: Tensor, size: tuple[int, int], threshold: float
) -> Tensor:
    """Stretches each grid (N, m, m) over its box (N, 4) -> (N, H, W) uint8, 1 from the threshold.

    Pixel centers are at half-integers; between grid cells the values are interpolated linearly,
    and beyond the outermost cell centers they fall to zero. Bilinear interpolation is separable,
    so each mask is two small matrix products over just the pixels that its box touches.
    """
    height, width = size
    out = torch.zeros((len(boxes), height, width), dtype=torch.uint8, device=boxes.device)
    if len(boxes) == 0:
        return out
    cells = probabilities.shape[-1]
    # One cell of margin covers the half cell over which the values fall to zero; one pixel more
    # is what rounding can need.
    margin = (boxes[:, 2:] - boxes[:, :2]) / (2 * cells) + 1
    low = (boxes[:, :2] - margin).floor()
    high = (boxes[:, 2:] + margin).ceil()
    limit = torch.tensor([width, height], device=boxes.device)
    windows = torch.cat([low.clamp(min=0), torch.minimum(high, limit)], 1).nan_to_num(0, 0, 0)
    for i, (x1, y1, x2, y2) in enumerate(windows.long().tolist()):
        if x2 <= x1 or y2 <= y1:
            continue
        across = _weights(x1, x2, boxes[i, 0], boxes[i, 2], cells)  # (w, m)
        down = _weights(y1, y2, boxes[i, 1], boxes[i, 3], cells)  # (h, m)
        values = down @ probabilities[i].to(down.dtype) @ across.T
        out[i, y1:y2, x1:x2] = values >= threshold
    return out


def _weights(first: int, last: int, low: Tensor, high: Tensor, cells: int) -> Tensor:
    """Linear interpolation from ``cells`` grid values over [low, high] to pixels [first, last)."""
    pixels = torch.arange(first, last, dtype=torch.float32, device=low.device) + 0.5
    position = (pixels - low) / (high - low) * cells - 0.5  # in cells, 0 at the first center
    # As in MMDetection, a box without extent shows its middle to the pixels around it.
    position = torch.where(position.isinf(), (cells - 1) / 2, position)
    centers = torch.arange(cells, dtype=torch.float32, device=low.device)
    return (1 - (position[:, None] - centers).abs()).clamp(min=0).nan_to_num(0)
