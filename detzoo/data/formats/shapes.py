"""Shapes of annotation tools as polygons: flat x, y, x, y, ... lists."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from detzoo.errors import DataError

# Of a circle of a hundred pixels' radius, the corners lie within a fifth of a pixel.
_CORNERS = 64
_LARGEST = 2**31
# What OpenCV reads at most, too.
_MOST_PIXELS = 2**30


def points_of(value: Any, where: str) -> list[float]:
    """[[x, y], ...] of a JSON file as a flat list.

    Raises :class:`DataError`, beginning with ``where``, for anything else, and for no point.
    """
    pairs = value if isinstance(value, list) and value else [None]
    flat: list[float] = []
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2 or not all(map(is_coordinate, pair)):
            raise DataError(f"{where}: its points are {value!r:.60} instead of [[x, y], ...].")
        flat += pair
    return flat


def is_coordinate(value: Any) -> bool:
    """Whether a value of a JSON file is a finite number that an image may have."""
    return type(value) in (int, float) and abs(value) < _LARGEST


def size_of(height: Any, width: Any) -> tuple[int, int] | None:
    """The size that values of a JSON file give; None if they cannot be one."""
    is_one = all(type(side) is int and 0 < side < _LARGEST for side in (height, width))
    return (height, width) if is_one else None


def placed(part: np.ndarray, left: int, top: int, size: tuple[int, int], where: str) -> np.ndarray:
    """A mask (h, w) in its place in an image of ``size`` (H, W) -> (H, W) uint8, 1 inside.

    Raises :class:`DataError`, beginning with ``where``, if it reaches beyond the image.
    """
    height, width = part.shape
    if min(left, top) < 0 or left + width > size[1] or top + height > size[0]:
        raise DataError(
            f"{where}: its mask of {width} x {height} pixels at ({left}, {top}) reaches beyond the "
            f"image of {size[1]} x {size[0]} (width x height)."
        )
    if size[0] * size[1] > _MOST_PIXELS:
        raise DataError(f"{where}: is in an image of {size[1]} x {size[0]} pixels, too large.")
    bitmap = np.zeros(size, np.uint8)
    bitmap[top : top + height, left : left + width] = part != 0
    return bitmap


def rotated(points: Sequence[float], center: tuple[float, float], degrees: float) -> list[float]:
    """``points`` turned about ``center``, clockwise in an image."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turned = []
    for x, y in zip(points[0::2], points[1::2]):
        dx, dy = x - center[0], y - center[1]
        turned += [center[0] + dx * cosine - dy * sine, center[1] + dx * sine + dy * cosine]
    return turned


def rectangle(x1: float, y1: float, x2: float, y2: float) -> list[float]:
    return [x1, y1, x2, y1, x2, y2, x1, y2]


def ellipse(x: float, y: float, rx: float, ry: float, degrees: float = 0) -> list[float]:
    angles = [2 * math.pi * k / _CORNERS for k in range(_CORNERS)]
    points = [n for a in angles for n in (x + rx * math.cos(a), y + ry * math.sin(a))]
    return rotated(points, (x, y), degrees)


def extent(points: Sequence[float]) -> tuple[float, float, float, float]:
    """The upright box (x, y, width, height) around points."""
    xs, ys = points[0::2], points[1::2]
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)
