"""Pasting predicted masks into images."""

from __future__ import annotations

import torch
from torch import Tensor

from detzoo.ops.constants import constant


def paste_masks(
    probabilities: Tensor, boxes: Tensor, size: tuple[int, int], threshold: float
) -> Tensor:
    """Resizes masks (N, m, m) to their boxes (N, 4) -> (N, H, W) uint8, 1 at or above
    ``threshold``.

    Pixel centers are at half-integers; values are interpolated bilinearly between the centers of
    mask cells and fall to zero beyond the outermost. As bilinear interpolation is separable, each
    mask is two small matrix products over just the pixels that its box touches.
    """
    height, width = size
    out = torch.zeros((len(boxes), height, width), dtype=torch.uint8, device=boxes.device)
    if len(boxes) == 0:
        return out
    cells = probabilities.shape[-1]
    # Half a cell of margin, over which the values fall to zero, and one pixel for rounding.
    margin = (boxes[:, 2:] - boxes[:, :2]) / (2 * cells) + 1
    low = (boxes[:, :2] - margin).floor()
    high = (boxes[:, 2:] + margin).ceil()
    limit = constant((width, height), boxes.device, boxes.dtype)
    windows = torch.cat([low.clamp(min=0), torch.minimum(high, limit)], 1).nan_to_num(0, 0, 0)
    for i, (x1, y1, x2, y2) in enumerate(windows.long().tolist()):
        if x2 <= x1 or y2 <= y1:
            continue
        across = _weights(x1, x2, boxes[i, 0], boxes[i, 2], cells)  # (w, m)
        down = _weights(y1, y2, boxes[i, 1], boxes[i, 3], cells)  # (h, m)
        values = down @ probabilities[i].to(down.dtype) @ across.T
        out[i, y1:y2, x1:x2] = values >= threshold
    return out


def paste_all_masks(
    probabilities: Tensor, boxes: Tensor, size: tuple[int, int], threshold: float
) -> Tensor:
    """The same as :func:`paste_masks`, with shapes that do not depend on the boxes: every mask is
    computed at all pixels."""
    cells = probabilities.shape[-1]
    across = _weights(0, size[1], boxes[:, 0, None], boxes[:, 2, None], cells)  # (N, W, m)
    down = _weights(0, size[0], boxes[:, 1, None], boxes[:, 3, None], cells)  # (N, H, m)
    values = down @ probabilities.to(down.dtype) @ across.transpose(1, 2)
    return (values >= threshold).to(torch.uint8)


def _weights(first: int, last: int, low: Tensor, high: Tensor, cells: int) -> Tensor:
    """Weights of linear interpolation from ``cells`` values over [low, high] to pixels [first,
    last): (pixels, cells); with ``low`` and ``high`` (N, 1), (N, pixels, cells)."""
    pixels = torch.arange(first, last, dtype=torch.float32, device=low.device) + 0.5
    position = (pixels - low) / (high - low) * cells - 0.5  # in cells, 0 at the first center
    # As in MMDetection, pixels around an empty box get the value at its mask's center.
    position = torch.where(position.isinf(), (cells - 1) / 2, position)
    centers = torch.arange(cells, dtype=torch.float32, device=low.device)
    return (1 - (position[..., None] - centers).abs()).clamp(min=0).nan_to_num(0)
