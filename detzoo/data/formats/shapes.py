"""Shapes of annotation tools as polygons: flat x, y, x, y, ... lists."""

from __future__ import annotations

import math
from collections.abc import Sequence

# Of a circle of a hundred pixels' radius, the corners lie within a fifth of a pixel.
_CORNERS = 64


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
