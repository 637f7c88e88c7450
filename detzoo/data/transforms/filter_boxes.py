"""Removal of objects that are too small."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from detzoo.config import NonNegativeFloat, NonNegativeInt, config
from detzoo.data.sample import Sample, SkipSample, Transform


@config
class FilterBoxes(Transform):
    """Removes objects with small boxes or masks.

    Args:
        min_size: Boxes must be wider and taller than this (width, height) in pixels.
        min_mask_area: Masks must have as many pixels, where objects have one.
        allow_empty: Whether an image may lose all objects; otherwise another image is used.
    """

    min_size: tuple[NonNegativeFloat, NonNegativeFloat] = (1.0, 1.0)
    min_mask_area: NonNegativeInt = 0
    allow_empty: bool = False

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        targets = sample.targets
        if len(targets) == 0:
            return sample
        sides = targets.boxes[:, 2:] - targets.boxes[:, :2]
        is_large = (sides > sides.new_tensor(self.min_size)).all(1)
        if self.min_mask_area and targets.masks is not None:
            areas = targets.masks.to_bitmaps().bitmaps.sum((1, 2))
            missing = targets.masks.is_missing
            has_area = areas >= self.min_mask_area
            is_large &= has_area if missing is None else has_area | missing
        kept = targets[is_large]
        if len(kept) == 0 and not self.allow_empty:
            raise SkipSample
        return replace(sample, targets=kept)
