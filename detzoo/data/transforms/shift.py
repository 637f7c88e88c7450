"""Random shifts (YOLOF, https://arxiv.org/abs/2103.09460)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from detzoo.config import NonNegativeInt, UnitFloat, config
from detzoo.data.sample import Sample, Transform
from detzoo.data.transforms.geometry import move
from detzoo.ops.boxes import clip_boxes


@config
class RandomShift(Transform):
    """Shifts an image at random, keeping its size and filling the gap with black.

    Objects with at most one pixel of width or height left are removed; an image that would lose all
    objects, or be shifted out entirely, is not shifted.

    Args:
        probability: Probability of a shift.
        max_shift: Maximum shift in each direction, in pixels.
    """

    probability: UnitFloat = 0.5
    max_shift: NonNegativeInt = 32

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.probability:
            return sample
        right, down = rng.integers(-self.max_shift, self.max_shift, size=2, endpoint=True).tolist()
        if abs(right) >= sample.image.shape[1] or abs(down) >= sample.image.shape[0]:
            return sample
        moved = move(sample, _shifted(sample.image, right, down), -right, -down)
        size = moved.info.size
        boxes = clip_boxes(moved.targets.boxes, size)
        ignored = clip_boxes(moved.targets.ignored_boxes, size)
        visible, ignored_visible = (((b[:, 2:] - b[:, :2]) > 1).all(1) for b in (boxes, ignored))
        if not visible.any():
            return sample
        targets = replace(moved.targets, boxes=boxes, ignored_boxes=ignored[ignored_visible])
        return replace(moved, targets=targets[visible])


def _shifted(image: np.ndarray, right: int, down: int) -> np.ndarray:
    height, width = image.shape[:2]
    result = np.zeros_like(image)
    result[max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = image[
        max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)
    ]
    return result
