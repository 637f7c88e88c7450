"""Padding of images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from detzoo.config import PositiveInt, config
from detzoo.data.sample import Sample, Transform
from detzoo.data.transforms.colors import Color, canvas
from detzoo.data.transforms.geometry import move
from detzoo.structures import ImageInfo


@config
class Pad(Transform):
    """Pads an image at the right and bottom.

    By default it only records the padded size: collation, which copies the pixels anyway, pads
    them, with the padding of the model's ``pixels``.

    Args:
        divisor: The padded sides are multiples of this, unless ``size`` or ``square`` is given.
        size: Padded size (height, width); larger images are not padded.
        square: Whether to pad to a square instead.
        fill: Color (BGR) that pads at once: what follows sees a larger image. None: collation pads.
    """

    divisor: PositiveInt = 32
    size: tuple[PositiveInt, PositiveInt] | None = None
    square: bool = False
    fill: Color | None = None

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        info = self._padded(sample.info)
        if self.fill is None:
            return replace(sample, info=info)
        padded = canvas(*info.padded_size, self.fill, sample.image)
        padded[: sample.image.shape[0], : sample.image.shape[1]] = sample.image
        return move(sample, padded, 0, 0)

    def _padded(self, info: ImageInfo) -> ImageInfo:
        if self.square:
            side = max(info.size)
            return replace(info, padded_size=(side, side))
        if self.size is None:
            return info.padded_to(self.divisor)
        height, width = (max(pair) for pair in zip(self.size, info.size))
        return replace(info, padded_size=(height, width))
