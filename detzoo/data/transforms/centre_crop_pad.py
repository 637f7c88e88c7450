"""Windows around a point inside the image that may reach beyond it (CornerNet)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch

from detzoo.config import ConfigError, config
from detzoo.data.sample import Sample, Transform
from detzoo.data.transforms.geometry import has_area, move
from detzoo.data.transforms.mosaic import paste
from detzoo.ops.boxes import box_centres, clip_boxes
from detzoo.structures import Targets

# Attempts at a window with an object before another size is tried, and sizes tried.
_ATTEMPTS = 50
_SIZES = 20


@config
class RandomCentreCropPad(Transform):
    """A window of ``size`` (height, width) times one of ``ratios``, around a random point.

    The point keeps ``border`` pixels from the image's edges (less in a small image). Where the
    window reaches beyond the image it is filled with the colour ``fill`` (BGR). It shows the centre
    of at least one object, if there is any; objects stay whose centre it shows, clipped to it. An
    image of which no such window is found stays as it is: objects' centres may lie outside it.
    CornerNet, https://arxiv.org/abs/1808.01244.
    """

    size: tuple[int, int]
    ratios: tuple[float, ...] = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3)
    border: int = 128
    fill: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if not self.ratios or min(self.ratios) <= 0:
            raise ConfigError(f"ratios: {self.ratios} is not one or more positive numbers")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = sample.image.shape[:2]
        centres = box_centres(sample.targets.boxes)
        is_inside = (centres > 0) & (centres < centres.new_tensor([width, height]))
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
        """``border``, halved until two of them leave something of the image's ``side``."""
        border = self.border
        while 2 * border >= side:
            border //= 2
        return border


@config
class CentrePad(Transform):
    """Pads evenly around the image until the last bits of both sides are those of ``bits``, then
    adds ``extra`` pixels: sides of 127 bits and one for a network that halves seven times.

    For inference. ``fill`` is the colour (BGR) around the image.
    """

    bits: int
    extra: int = 0
    fill: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = sample.image.shape[:2]
        size = (height | self.bits) + self.extra, (width | self.bits) + self.extra
        canvas = _canvas(sample, size, self.fill)
        left, top = size[1] // 2 - width // 2, size[0] // 2 - height // 2
        paste(canvas, sample.image, left, top)
        return move(sample, canvas, -left, -top)


def _around(
    sample: Sample, centre: tuple[int, int], size: tuple[int, int], fill: tuple[float, ...]
) -> Sample:
    """The window of ``size`` (height, width) around ``centre`` (x, y)."""
    height, width = sample.image.shape[:2]
    left, top = centre[0] - size[1] // 2, centre[1] - size[0] // 2
    canvas = _canvas(sample, size, fill)
    paste(canvas, sample.image, -left, -top)
    # What the window shows of the image.
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
    """(height, width, 3) of one colour; float32 where that has no whole values."""
    whole = all(math.modf(value)[0] == 0 for value in fill)
    canvas = np.empty((*size, 3), sample.image.dtype if whole else np.float32)
    canvas[:] = fill
    return canvas
