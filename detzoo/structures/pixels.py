"""How raw pixels become network input."""

from __future__ import annotations

from typing import Literal

from detzoo.config import ConfigError, config


@config
class Pixels:
    """Channel order and normalisation ``(value - mean) / std`` that a set of weights expects.

    ``mean`` and ``std`` are on the 0-255 scale, in the given channel ``order``; further channels
    follow those of the color. There are as many as images have channels: one for grey images.
    ``padding`` is the raw value of the padded area; ``None`` pads with zero after normalisation.
    """

    mean: tuple[float, ...] = (123.675, 116.28, 103.53)
    std: tuple[float, ...] = (58.395, 57.12, 57.375)
    order: Literal["rgb", "bgr"] = "rgb"
    padding: float | None = None

    def __post_init__(self) -> None:
        if not self.mean or len(self.mean) != len(self.std):
            raise ConfigError(
                f"mean: {len(self.mean)} values and {len(self.std)} of std; give both for each "
                "channel of the images"
            )

    @property
    def channels(self) -> int:
        """How many channels the images have."""
        return len(self.mean)
