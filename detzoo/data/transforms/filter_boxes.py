"""Leaving out objects too small to learn from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from detzoo.config import config
from detzoo.data.sample import Sample, SkipSample, Transform


@config
class FilterBoxes(Transform):
    """Keeps objects whose box is wider and higher than ``min_size`` (width, height), in pixels.

    An image that loses its last object is replaced by another one unless ``allow_empty``.
    """

    min_size: tuple[float, float] = (1.0, 1.0)
    allow_empty: bool = False

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        targets = sample.targets
        if len(targets) == 0:
            return sample
        sides = targets.boxes[:, 2:] - targets.boxes[:, :2]
        kept = targets[(sides > sides.new_tensor(self.min_size)).all(1)]
        if len(kept) == 0 and not self.allow_empty:
            raise SkipSample
        return replace(sample, targets=kept)
