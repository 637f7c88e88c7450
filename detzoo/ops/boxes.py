"""Box arithmetic. Boxes are xyxy float32 in pixels; N and M count boxes."""

from __future__ import annotations

import torch
from torch import Tensor


def box_area(boxes: Tensor) -> Tensor:
    """Areas of boxes (..., 4) -> (...)."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def box_centers(boxes: Tensor) -> Tensor:
    """Centers (x, y) of boxes (..., 4) -> (..., 2)."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def inner_distances(points: Tensor, boxes: Tensor) -> Tensor:
    """Distances from points (..., 2) to the left, top, right and bottom sides of boxes (..., 4) ->
    (..., 4).

    Negative if a point is outside that side.
    """
    return torch.cat([points - boxes[..., :2], boxes[..., 2:] - points], -1)


def intersection(a: Tensor, b: Tensor) -> Tensor:
    """Intersection areas of boxes a (..., 4) and b (..., 4), broadcast against each other."""
    low = torch.maximum(a[..., :2], b[..., :2])
    high = torch.minimum(a[..., 2:], b[..., 2:])
    sides = (high - low).clamp(min=0)
    return sides[..., 0] * sides[..., 1]


def pairwise_iou(a: Tensor, b: Tensor, eps: float = 1e-6) -> Tensor:
    """IoU of boxes a (N, 4) and b (M, 4) -> (N, M)."""
    common = intersection(a[:, None], b[None])
    union = box_area(a)[:, None] + box_area(b)[None] - common
    return common / union.clamp(min=eps)


def pairwise_iof(a: Tensor, b: Tensor, eps: float = 1e-6) -> Tensor:
    """Intersection over foreground: the fraction of each box of a (N, 4) inside each box of b (M,
    4) -> (N, M)."""
    return intersection(a[:, None], b[None]) / box_area(a)[:, None].clamp(min=eps)


def elementwise_iou(a: Tensor, b: Tensor, eps: float = 1e-6) -> Tensor:
    """IoU of each box of a (..., 4) with the corresponding box of b (..., 4) -> (...)."""
    common = intersection(a, b)
    return common / (box_area(a) + box_area(b) - common).clamp(min=eps)


def clip_boxes(boxes: Tensor, size: tuple[float | Tensor, float | Tensor]) -> Tensor:
    """Clips boxes (..., 4) to an image of ``size`` (height, width)."""
    height, width = size
    x = boxes[..., 0::2].clamp(min=0).clamp(max=width)
    y = boxes[..., 1::2].clamp(min=0).clamp(max=height)
    return torch.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], -1)


def flip_boxes(boxes: Tensor, size: tuple[float, float], flip: str) -> Tensor:
    """Flips boxes (N, 4) in an image of ``size`` (height, width).

    ``flip`` is "none", "horizontal", "vertical" or "diagonal" (both).
    """
    height, width = size
    x1, y1, x2, y2 = boxes.unbind(-1)
    if flip in ("horizontal", "diagonal"):
        x1, x2 = width - x2, width - x1
    if flip in ("vertical", "diagonal"):
        y1, y2 = height - y2, height - y1
    return torch.stack([x1, y1, x2, y2], -1)
