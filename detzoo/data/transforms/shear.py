"""Shears."""

from __future__ import annotations

from typing import Literal

import numpy as np

from detzoo.config import UnitFloat, config
from detzoo.data.sample import Sample, Transform
from detzoo.data.transforms.colors import Color
from detzoo.data.transforms.warp import warp


@config
class Shear(Transform):
    """Shears an image by a fixed slope, in one direction or the other; its size stays the same.

    For training only: ``info`` does not follow. AutoAugment, https://arxiv.org/abs/1906.11172.

    Args:
        slope: Pixels that a row (or column) moves relative to the one before.
        direction: Whether rows move horizontally or columns vertically.
        probability: Probability of a shear.
        negative_probability: Probability that it is in the other direction.
        fill: Color (BGR) outside the image.
    """

    slope: float
    direction: Literal["horizontal", "vertical"] = "horizontal"
    probability: UnitFloat = 0.5
    negative_probability: UnitFloat = 0.5
    fill: Color = (128.0, 128.0, 128.0)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.probability:
            return sample
        slope = -self.slope if rng.random() < self.negative_probability else self.slope
        x, y = (slope, 0.0) if self.direction == "horizontal" else (0.0, slope)
        return warp(sample, np.array([[1.0, x, 0.0], [y, 1.0, 0.0]]), self.fill)
