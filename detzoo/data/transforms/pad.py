"""The size that an image takes up in a batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from detzoo.config import ConfigError, config
from detzoo.data.sample import Sample, Transform


@config
class Pad(Transform):
    """Pads right and bottom to ``size`` (height, width), to a ``square``, or else to multiples of
    ``divisor``.

    It only notes the padded size; the pixels come with the batch, which has to copy them anyway.
    An image larger than ``size`` keeps its own.
    """

    divisor: int = 32
    size: tuple[int, int] | None = None
    square: bool = False

    def __post_init__(self) -> None:
        if self.divisor < 1:
            raise ConfigError(f"divisor: {self.divisor} is not above zero")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        info = sample.info
        if self.square:
            side = max(info.size)
            return replace(sample, info=replace(info, padded_size=(side, side)))
        if self.size is None:
            return replace(sample, info=info.padded_to(self.divisor))
        height, width = (max(pair) for pair in zip(self.size, info.size))
        return replace(sample, info=replace(info, padded_size=(height, width)))
