"""Slow, readable arithmetic on boxes, one pair at a time in Python floats."""

from __future__ import annotations

import torch
from torch import Tensor


def area(box: list[float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def common_area(a: list[float], b: list[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return width * height if width > 0 and height > 0 else 0.0


def iou(a: list[float], b: list[float]) -> float:
    common = common_area(a, b)
    union = area(a) + area(b) - common
    return common / union if union > 0 else 0.0


def random_boxes(count: int, seed: int, size: float = 100.0) -> Tensor:
    """(count, 4) boxes inside a square of ``size``, with sides of 5 to 55 pixels."""
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand((count, 2), generator=generator) * (size - 55)
    side = 5 + 50 * torch.rand((count, 2), generator=generator)
    return torch.cat([low, low + side], 1)
