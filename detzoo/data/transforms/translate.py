"""Shifts by a fixed distance."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from detzoo.config import NonNegativeFloat, UnitFloat, config
from detzoo.data.sample import Sample, Transform
from detzoo.data.transforms.colors import Color
from detzoo.data.transforms.shift import shifted
from detzoo.ops.boxes import clip_boxes


@config
class Translate(Transform):
    """Shifts an image by a fixed distance, in one direction or the other; its size stays the same.

    AutoAugment, https://arxiv.org/abs/1906.11172.

    Args:
        pixels: Distance in pixels, to the right or down.
        direction: Direction.
        probability: Probability of a shift.
        negative_probability: Probability that it is to the left or up.
        min_size: Objects of which no more than this width or height is left are removed, in pixels.
        fill: Color (BGR) outside the image.
    """

    pixels: int
    direction: Literal["horizontal", "vertical"] = "horizontal"
    probability: UnitFloat = 0.5
    negative_probability: UnitFloat = 0.5
    min_size: NonNegativeFloat = 0.0
    fill: Color = (128.0, 128.0, 128.0)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.probability:
            return sample
        pixels = -self.pixels if rng.random() < self.negative_probability else self.pixels
        right, down = (pixels, 0) if self.direction == "horizontal" else (0, pixels)
        moved = shifted(sample, right, down, self.fill)
        size = moved.info.size
        boxes = clip_boxes(moved.targets.boxes, size)
        ignored = clip_boxes(moved.targets.ignored_boxes, size)
        kept, ignored_kept = (
            ((b[:, 2:] - b[:, :2]) > self.min_size).all(1) for b in (boxes, ignored)
        )
        targets = replace(moved.targets, boxes=boxes, ignored_boxes=ignored[ignored_kept])
        return replace(moved, targets=targets[kept])
