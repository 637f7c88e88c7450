"""Rotations."""

from __future__ import annotations

import cv2
import numpy as np

from detzoo.config import PositiveFloat, UnitFloat, config
from detzoo.data.sample import Sample, Transform
from detzoo.data.transforms.colors import Color
from detzoo.data.transforms.warp import warp


@config
class Rotate(Transform):
    """Rotates an image by a fixed angle, in one direction or the other; its size stays the same.

    For training only: ``info`` does not follow. AutoAugment, https://arxiv.org/abs/1906.11172.

    Args:
        degrees: Angle in degrees, clockwise.
        scale: Factor of size.
        center: Center (x, y) in pixels; None: that of the image.
        probability: Probability of a rotation.
        negative_probability: Probability that it is counterclockwise.
        fill: Color (BGR) outside the image.
    """

    degrees: float
    scale: PositiveFloat = 1.0
    center: tuple[float, float] | None = None
    probability: UnitFloat = 0.5
    negative_probability: UnitFloat = 0.5
    fill: Color = (128.0, 128.0, 128.0)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.probability:
            return sample
        degrees = -self.degrees if rng.random() < self.negative_probability else self.degrees
        height, width = sample.image.shape[:2]
        center = self.center or ((width - 1) / 2, (height - 1) / 2)
        # OpenCV's angles are counterclockwise.
        return warp(sample, cv2.getRotationMatrix2D(center, -degrees, self.scale), self.fill)
