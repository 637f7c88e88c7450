"""Photometric distortion (SSD)."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import cv2
import numpy as np

from detzoo.config import Interval, NonNegativeFloat, Range, config
from detzoo.data.sample import Sample, Transform
from detzoo.data.transforms.colors import change_colors


@config
class PhotometricDistortion(Transform):
    """Changes brightness, contrast, saturation, hue and channel order, each with probability 1/2.

    Contrast changes before or after saturation and hue. The image becomes float32 and is not
    clipped to 0-255, as in training of the published models. SSD, https://arxiv.org/abs/1512.02325.

    Args:
        brightness_delta: Maximum change of the brightness, of 255.
        contrast_range: Range of the factor of the contrast.
        saturation_range: Range of the factor of the saturation.
        hue_delta: Maximum change of the hue, in degrees.
    """

    brightness_delta: NonNegativeFloat = 32.0
    contrast_range: Interval[NonNegativeFloat] = (0.5, 1.5)
    saturation_range: Interval[NonNegativeFloat] = (0.5, 1.5)
    hue_delta: Annotated[float, Range(0, 360)] = 18.0

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        image = sample.image.astype(np.float32)
        return replace(
            sample, image=change_colors(image, lambda colors: self._distort(colors, rng))
        )

    def _distort(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if _coin(rng):
            image += rng.uniform(-self.brightness_delta, self.brightness_delta)
        contrast_first = _coin(rng)
        if contrast_first and _coin(rng):
            image *= rng.uniform(*self.contrast_range)
        image = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
        if _coin(rng):
            image[..., 1] *= rng.uniform(*self.saturation_range)
        if _coin(rng):
            hue = image[..., 0]
            hue += rng.uniform(-self.hue_delta, self.hue_delta)
            hue[hue > 360] -= 360
            hue[hue < 0] += 360
        image = cv2.cvtColor(image, cv2.COLOR_HSV2BGR)
        if not contrast_first and _coin(rng):
            image *= rng.uniform(*self.contrast_range)
        if _coin(rng):
            image = image[..., rng.permutation(3)]
        return image


def _coin(rng: np.random.Generator) -> bool:
    return bool(rng.integers(2))
