"""Crops and padding around a center, which may extend beyond the image (CornerNet)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch

from detzoo.config import NonEmpty, NonNegativeInt, PositiveFloat, PositiveInt, config
from detzoo.data.sample import Sample, Transform
from detzoo.data.transforms.geometry import has_area, move
from detzoo.data.transforms.mosaic import paste
from detzoo.ops.boxes import box_centers, clip_boxes
from detzoo.structures import Targets
from detzoo.structures.images import Size

# Attempts to find a window with an object per size, and number of sizes tried.
_ATTEMPTS = 50
_SIZES = 20


@config
class RandomCenterCropPad(Transform):
    """Crops a random window, padded where it extends beyond the image.

    The window contains the center of at least one object, if there is any; objects whose center it
    contains are kept, clipped to it. An image for which no such window is found is unchanged: the
    centers of its objects may be outside it. CornerNet, https://arxiv.org/abs/1808.01244.

    Args:
        size: Size (height, width) of the window.
        ratios: Factors of the size, one of which is chosen at random.
        border: Distance of the window's center from the edges of the image, less in small images.
        fill: Color (BGR) of the padding.
    """

    size: tuple[PositiveInt, PositiveInt]
    ratios: NonEmpty[PositiveFloat] = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3)
    border: NonNegativeInt = 128
    fill: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = sample.image.shape[:2]
        centers = box_centers(sample.targets.boxes)
        is_inside = (centers > 0) & (centers < centers.new_tensor([width, height]))
        if len(sample.targets) and not is_inside.all(1).any():
            return sample
        for _ in range(_SIZES):
            ratio = self.ratios[rng.integers(len(self.ratios))]
            size = int(self.size[0] * ratio), int(self.size[1] * ratio)
            for _ in range(_ATTEMPTS):
                y = int(rng.integers(self._border(height), height - self._border(height)))
                x = int(rng.integers(self._border(width), width - self._border(width)))
                window = _around(sample, (x, y), size, self.fill)
                if len(window.targets) or len(sample.targets) == 0:
                    return window
        return sample

    def _border(self, side: int) -> int:
        """``border``, halved until it is less than half of the image's ``side``."""
        border = self.border
        while 2 * border >= side:
            border //= 2
        return border


@config
class CenterPad(Transform):
    """Pads an image on all sides to ``(side | bits) + extra`` pixels, for inference.

    Args:
        bits: Bits that are set in the padded side: 127 pads to 128 k - 1 pixels.
        extra: Additional pixels.
        fill: Color (BGR) of the padding.
    """

    bits: NonNegativeInt
    extra: NonNegativeInt = 0
    fill: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = sample.image.shape[:2]
        size = (height | self.bits) + self.extra, (width | self.bits) + self.extra
        canvas = _canvas(sample, size, self.fill)
        left, top = size[1] // 2 - width // 2, size[0] // 2 - height // 2
        paste(canvas, sample.image, left, top)
        return move(sample, canvas, -left, -top)

    def largest_inside(self, size: Size) -> Size:
        """The largest image (height, width) that padding makes no larger than ``size``."""
        step = self.bits + 1
        height, width = ((side - self.extra + 1) // step * step - 1 for side in size)
        return height, width


def _around(
    sample: Sample, center: tuple[int, int], size: tuple[int, int], fill: tuple[float, ...]
) -> Sample:
    """The window of ``size`` (height, width) around ``center`` (x, y)."""
    height, width = sample.image.shape[:2]
    left, top = center[0] - size[1] // 2, center[1] - size[0] // 2
    canvas = _canvas(sample, size, fill)
    paste(canvas, sample.image, -left, -top)
    # The part of the image inside the window.
    shown = torch.tensor(
        [max(left, 0), max(top, 0), min(left + size[1], width), min(top + size[0], height)]
    )
    targets = sample.targets
    middle = (targets.boxes[:, :2] + targets.boxes[:, 2:]) / 2
    kept = targets[((middle > shown[:2]) & (middle < shown[2:])).all(1)]
    moved = move(replace(sample, targets=kept), canvas, left, top)
    boxes = clip_boxes(moved.targets.boxes, size)
    ignored = clip_boxes(moved.targets.ignored_boxes, size)
    clipped: Targets = replace(moved.targets, boxes=boxes, ignored_boxes=ignored[has_area(ignored)])
    return replace(moved, targets=clipped[has_area(boxes)])


def _canvas(sample: Sample, size: tuple[int, int], fill: tuple[float, ...]) -> np.ndarray:
    """An image (height, width, 3) of one color; float32 if its values are not integers."""
    whole = all(math.modf(value)[0] == 0 for value in fill)
    canvas = np.empty((*size, 3), sample.image.dtype if whole else np.float32)
    canvas[:] = fill
    return canvas
