"""Padding of images in a batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from detzoo.config import PositiveInt, config
from detzoo.data.sample import Sample, Transform


@config
class Pad(Transform):
    """Pads an image at the right and bottom.

    Only records the padded size; pixels are padded in collation, which copies them anyway.

    Args:
        divisor: The padded sides are multiples of this, unless ``size`` or ``square`` is given.
        size: Padded size (height, width); larger images are not padded.
        square: Whether to pad to a square instead.
    """

    divisor: PositiveInt = 32
    size: tuple[PositiveInt, PositiveInt] | None = None
    square: bool = False

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        info = sample.info
        if self.square:
            side = max(info.size)
            return replace(sample, info=replace(info, padded_size=(side, side)))
        if self.size is None:
            return replace(sample, info=info.padded_to(self.divisor))
        height, width = (max(pair) for pair in zip(self.size, info.size))
        return replace(sample, info=replace(info, padded_size=(height, width)))
