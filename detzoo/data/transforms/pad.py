"""The size that an image takes up in a batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from detzoo.config import ConfigError, config
from detzoo.data.sample import Sample, Transform


@config
class Pad(Transform):
    """Pads at the right and the bottom: to multiples of ``divisor``, or to ``size`` (height, width).

    It only notes the padded size; the pixels come with the batch, which has to copy them anyway.
    An image larger than ``size`` keeps its own.
    """

    divisor: int | None = 32
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if (self.divisor is None) == (self.size is None):
            raise ConfigError("size: give either it or a divisor, and set the other to none")
        if self.divisor is not None and self.divisor < 1:
            raise ConfigError(f"divisor: {self.divisor} is not above zero")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        info = sample.info
        if self.divisor is not None:
            return replace(sample, info=info.padded_to(self.divisor))
        assert self.size is not None
        height, width = (max(pair) for pair in zip(self.size, info.size))
        return replace(sample, info=replace(info, padded_size=(height, width)))
