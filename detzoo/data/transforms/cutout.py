"""Dropping regions of an image (https://arxiv.org/abs/1708.04552)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from detzoo.config import ConfigError, Interval, NonEmpty, NonNegativeFloat, NonNegativeInt, config
from detzoo.data.sample import Sample, Transform
from detzoo.data.transforms.colors import Color, values_of


@config
class CutOut(Transform):
    """Fills random rectangles of an image with a color; the targets stay as they are.

    Args:
        holes: Range of the number of rectangles.
        sizes: Sizes (width, height), one of which is chosen for each rectangle: in pixels, or
            fractions of the image where ``relative`` is set.
        relative: Whether ``sizes`` are fractions.
        fill: Color (BGR) of the rectangles.
    """

    holes: Interval[NonNegativeInt]
    sizes: NonEmpty[tuple[NonNegativeFloat, NonNegativeFloat]]
    relative: bool = False
    fill: Color = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if self.relative and max(max(size) for size in self.sizes) > 1:
            raise ConfigError(f"sizes: {self.sizes!r}: give fractions up to 1, as relative is set")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        image = sample.image.copy()
        height, width = image.shape[:2]
        for _ in range(rng.integers(*self.holes, endpoint=True)):
            left, top = int(rng.integers(width)), int(rng.integers(height))
            columns, rows = self.sizes[rng.integers(len(self.sizes))]
            if self.relative:
                columns, rows = columns * width, rows * height
            image[top : top + int(rows), left : left + int(columns)] = values_of(self.fill, image)
        return replace(sample, image=image)
