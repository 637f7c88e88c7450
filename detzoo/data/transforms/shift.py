"""Random shifts (YOLOF, https://arxiv.org/abs/2103.09460)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from detzoo.config import NonNegativeInt, UnitFloat, config
from detzoo.data.sample import Sample, Transform
from detzoo.data.transforms.colors import Color, canvas
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
        moved = shifted(sample, right, down, (0.0, 0.0, 0.0))
        size = moved.info.size
        boxes = clip_boxes(moved.targets.boxes, size)
        ignored = clip_boxes(moved.targets.ignored_boxes, size)
        visible, ignored_visible = (((b[:, 2:] - b[:, :2]) > 1).all(1) for b in (boxes, ignored))
        if not visible.any():
            return sample
        targets = replace(moved.targets, boxes=boxes, ignored_boxes=ignored[ignored_visible])
        return replace(moved, targets=targets[visible])


def shifted(sample: Sample, right: int, down: int, fill: Color) -> Sample:
    """``sample`` shifted by whole pixels; the gap is ``fill`` (BGR). Boxes are not clipped."""
    height, width = sample.image.shape[:2]
    image = canvas(height, width, fill, sample.image)
    image[max(down, 0) : max(height + down, 0), max(right, 0) : max(width + right, 0)] = (
        sample.image[max(-down, 0) : max(height - down, 0), max(-right, 0) : max(width - right, 0)]
    )
    return move(sample, image, -right, -down)
