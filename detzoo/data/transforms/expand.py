"""Zooming out: the image is placed on a larger canvas (SSD)."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from detzoo.config import Interval, Range, UnitFloat, config
from detzoo.data.sample import Sample, Transform
from detzoo.data.transforms.colors import Color, canvas
from detzoo.data.transforms.geometry import move


@config
class Expand(Transform):
    """Places the image at a random position on a larger canvas.

    Args:
        fill: Color (BGR) of the canvas.
        ratio_range: Range of the canvas's size, relative to the image's.
        probability: Probability of the transform.
    """

    fill: Color = (0.0, 0.0, 0.0)
    ratio_range: Interval[Annotated[float, Range(1)]] = (1.0, 4.0)
    probability: UnitFloat = 0.5

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.probability:
            return sample
        height, width = sample.image.shape[0], sample.image.shape[1]
        ratio = rng.uniform(*self.ratio_range)
        left = int(rng.uniform(0, width * ratio - width))
        top = int(rng.uniform(0, height * ratio - height))
        enlarged = canvas(int(height * ratio), int(width * ratio), self.fill, sample.image)
        enlarged[top : top + height, left : left + width] = sample.image
        return move(sample, enlarged, -left, -top)
