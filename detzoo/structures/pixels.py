"""How raw pixels become network input."""

from __future__ import annotations

from typing import Literal

from detzoo.config import config


@config
class Pixels:
    """Channel order and normalisation ``(value - mean) / std`` that a set of weights expects.

    ``mean`` and ``std`` are on the 0-255 scale, in the given channel ``order``. ``padding`` is the
    raw value of the padded area; ``None`` pads with zero after normalisation.
    """

    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    order: Literal["rgb", "bgr"] = "rgb"
    padding: float | None = None
