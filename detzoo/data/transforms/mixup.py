"""MixUp of two images (https://arxiv.org/abs/1710.09412, as in YOLOX)."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import cv2
import numpy as np
import torch

from detzoo.config import Interval, PositiveFloat, PositiveInt, Range, config
from detzoo.data.sample import Draw, MixTransform, Sample
from detzoo.data.transforms.flip import flip
from detzoo.data.transforms.geometry import keep_visible, move
from detzoo.data.transforms.mosaic import paste
from detzoo.ops.boxes import clip_boxes
from detzoo.structures import ImageInfo, Targets

# Maximum number of images sampled until one has an object.
_ATTEMPTS = 15


@config
class MixUp(MixTransform):
    """Averages the image with another one and keeps the objects of both (YOLOX).

    The other image is resized to fit, padded, scaled, flipped with probability 1/2, and cropped or
    padded with black to the size of the image.

    Args:
        size: Size (height, width) that the other image is fitted into.
        scale_range: Range of the factor by which it is then scaled.
        fill: Gray value of the padding.
    """

    size: tuple[PositiveInt, PositiveInt] = (640, 640)
    scale_range: Interval[PositiveFloat] = (0.5, 1.5)
    fill: Annotated[int, Range(0, 255)] = 114

    def mix(self, sample: Sample, rng: np.random.Generator, draw: Draw) -> Sample:
        other = draw(rng)
        for _ in range(_ATTEMPTS - 1):
            if len(other.targets):
                break
            other = draw(rng)
        if len(other.targets) == 0:
            return sample
        other = self._scaled(other, rng.uniform(*self.scale_range))
        if rng.random() < 0.5:
            other = flip(other, "horizontal")
        other = _window(other, sample.info.size, rng)

        # The sum of two uint8 values does not fit into uint8.
        image = (sample.image.astype(np.uint16) + other.image) // 2
        own = sample.targets
        targets = Targets(
            boxes=torch.cat([own.boxes, other.targets.boxes]),
            labels=torch.cat([own.labels, other.targets.labels]),
            ignored_boxes=torch.cat([own.ignored_boxes, other.targets.ignored_boxes]),
        )
        targets = keep_visible(targets, sample.info.size)
        return replace(sample, image=image.astype(np.uint8), targets=targets)

    def _scaled(self, other: Sample, factor: float) -> Sample:
        """Fits the image into ``size``, then scales everything by ``factor``."""
        height, width = self.size
        fit = min(height / other.image.shape[0], width / other.image.shape[1])
        rows, columns = (max(int(side * fit), 1) for side in other.image.shape[:2])
        canvas = np.full((height, width, other.image.shape[2]), self.fill, np.uint8)
        paste(canvas, cv2.resize(other.image, (columns, rows)), 0, 0)
        canvas = cv2.resize(canvas, (int(width * factor), int(height * factor)))
        size = canvas.shape[0], canvas.shape[1]
        targets = Targets(
            clip_boxes(other.targets.boxes * (fit * factor), size),
            other.targets.labels,
            clip_boxes(other.targets.ignored_boxes * (fit * factor), size),
        )
        return Sample(canvas, targets, ImageInfo.of(size))


def _window(sample: Sample, size: tuple[int, int], rng: np.random.Generator) -> Sample:
    """Crops a random window of ``size``, which extends beyond smaller images."""
    height, width = sample.image.shape[:2]
    top = int(rng.integers(max(height - size[0], 0), endpoint=True))
    left = int(rng.integers(max(width - size[1], 0), endpoint=True))
    canvas = np.zeros((*size, *sample.image.shape[2:]), np.uint8).reshape(*size, -1)
    paste(canvas, sample.image, -left, -top)
    moved = move(sample, canvas, left, top)
    boxes = clip_boxes(moved.targets.boxes, size)
    ignored = clip_boxes(moved.targets.ignored_boxes, size)
    return replace(moved, targets=replace(moved.targets, boxes=boxes, ignored_boxes=ignored))
