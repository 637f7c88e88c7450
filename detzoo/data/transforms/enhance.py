"""Saturation, brightness, contrast and histograms, changed by fixed amounts.

Of AutoAugment, https://arxiv.org/abs/1906.11172. The results are those of Pillow's ``ImageEnhance``
and ``ImageOps``, but for rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from detzoo.config import NonNegativeFloat, UnitFloat, config
from detzoo.data.sample import Sample, Transform
from detzoo.data.transforms.colors import change_colors


@config
class AdjustSaturation(Transform):
    """Mixes an image with its gray version.

    Args:
        factor: Saturation relative to the image's: 0 is gray, 1 changes nothing.
        probability: Probability of the change.
    """

    factor: NonNegativeFloat
    probability: UnitFloat = 0.5

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return _changed(sample, rng, self.probability, self._change)

    def _change(self, image: np.ndarray) -> np.ndarray:
        gray = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        return cv2.addWeighted(image, self.factor, gray, 1 - self.factor, 0)


@config
class AdjustBrightness(Transform):
    """Multiplies an image.

    Args:
        factor: Factor of all values: 0 is black, 1 changes nothing.
        probability: Probability of the change.
    """

    factor: NonNegativeFloat
    probability: UnitFloat = 0.5

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return _changed(sample, rng, self.probability, lambda image: image * self.factor)


@config
class AdjustContrast(Transform):
    """Mixes an image with the mean of its gray version.

    Args:
        factor: Contrast relative to the image's: 0 is a gray, 1 changes nothing.
        probability: Probability of the change.
    """

    factor: NonNegativeFloat
    probability: UnitFloat = 0.5

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return _changed(sample, rng, self.probability, self._change)

    def _change(self, image: np.ndarray) -> np.ndarray:
        mean = round(float(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).mean(dtype=np.float64)))
        gray = np.full(image.shape, mean, np.float32)
        return cv2.addWeighted(image.astype(np.float32), self.factor, gray, 1 - self.factor, 0)


@config
class Equalize(Transform):
    """Equalizes the histogram of each channel.

    Args:
        probability: Probability of the change.
    """

    probability: UnitFloat = 0.5

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return _changed(sample, rng, self.probability, _equalized)


def _changed(
    sample: Sample,
    rng: np.random.Generator,
    probability: float,
    change: Callable[[np.ndarray], np.ndarray],
) -> Sample:
    """``sample`` with other colors, clipped to 0-255, in the type that they had."""
    if rng.random() >= probability:
        return sample

    def clipped(image: np.ndarray) -> np.ndarray:
        return change(image).clip(0, 255).astype(image.dtype)

    return replace(sample, image=change_colors(sample.image, clipped))


def _equalized(image: np.ndarray) -> np.ndarray:
    values = image.round().clip(0, 255).astype(np.uint8)
    return np.stack([_flat_histogram(channel)[channel] for channel in np.moveaxis(values, 2, 0)], 2)


def _flat_histogram(channel: np.ndarray) -> np.ndarray:
    """What each value of ``channel`` (H, W) uint8 becomes: (256,)."""
    counts = np.bincount(channel.reshape(-1), minlength=256)
    # The highest value stays where it is, so its pixels do not count.
    step = (counts.sum() - counts[counts > 0][-1]) // 255
    if step == 0:
        return np.arange(256)
    below = np.concatenate([[0], np.cumsum(counts)[:-1]])
    table: np.ndarray = ((below + step // 2) // step).clip(0, 255)
    table[0] = 0
    return table
