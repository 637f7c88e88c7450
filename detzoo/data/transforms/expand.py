"""Making objects small: the image becomes part of a larger canvas."""

from __future__ import annotations

import numpy as np

from detzoo.config import ConfigError, config
from detzoo.data.sample import Sample, Transform
from detzoo.data.transforms.geometry import move


@config
class Expand(Transform):
    """Puts the image somewhere on a canvas that is larger by a factor drawn from ``ratio_range``.

    ``fill`` is the color of the canvas, in the image's channel order BGR.
    """

    fill: tuple[float, float, float] = (0.0, 0.0, 0.0)
    ratio_range: tuple[float, float] = (1.0, 4.0)
    probability: float = 0.5

    def __post_init__(self) -> None:
        if not 1 <= self.ratio_range[0] <= self.ratio_range[1]:
            raise ConfigError(f"ratio_range: {self.ratio_range!r} is not a range of at least one")
        if not 0 <= self.probability <= 1:
            raise ConfigError(f"probability: {self.probability} is not between 0 and 1")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.probability:
            return sample
        height, width = sample.image.shape[0], sample.image.shape[1]
        ratio = rng.uniform(*self.ratio_range)
        left = int(rng.uniform(0, width * ratio - width))
        top = int(rng.uniform(0, height * ratio - height))
        channels = sample.image.shape[2]
        color = np.resize(self.fill, channels) if channels >= 3 else np.mean(self.fill)
        shape = (int(height * ratio), int(width * ratio), channels)
        canvas = np.empty(shape, sample.image.dtype)
        canvas[:] = color.astype(sample.image.dtype)  # an integer image takes whole values
        canvas[top : top + height, left : left + width] = sample.image
        return move(sample, canvas, -left, -top)
