"""Channel order and normalization of the network input."""

from __future__ import annotations

from typing import Literal

from detzoo.config import ConfigError, NonEmpty, PositiveFloat, config


@config
class Pixels:
    """The channel order and normalization, ``(value - mean) / std``, that weights expect.

    Args:
        mean: Mean of each channel, from 0 to 255, in ``order``: one value for grayscale images,
            more than three if other channels follow the color channels.
        std: Standard deviation of each channel, in the same order.
        order: Order of the color channels.
        padding: Value of padded pixels before normalization; None: 0 after normalization.
    """

    mean: NonEmpty[float] = (123.675, 116.28, 103.53)
    std: NonEmpty[PositiveFloat] = (58.395, 57.12, 57.375)
    order: Literal["rgb", "bgr"] = "rgb"
    padding: float | None = None

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std):
            raise ConfigError(
                f"mean: has {len(self.mean)} values and std has {len(self.std)}; give both for "
                "each channel of the images"
            )

    @property
    def channels(self) -> int:
        """The number of channels of the images."""
        return len(self.mean)
