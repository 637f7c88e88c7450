"""Random crops with a minimum IoU with every object (SSD)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from detzoo.config import PositiveUnitFloat, UnitFloat, config
from detzoo.data.sample import Sample, Transform
from detzoo.data.transforms.geometry import move
from detzoo.ops.boxes import clip_boxes, pairwise_iou

_ATTEMPTS = 50


@config
class MinIoUCrop(Transform):
    """Crops a random window that has a minimum IoU with every box, or leaves the image unchanged.

    The minimum is chosen at random. A window has an aspect ratio between 1/2 and 2 and contains the
    center of at least one box; boxes whose center it contains are kept, clipped to it. SSD,
    https://arxiv.org/abs/1512.02325.

    Args:
        min_ious: Choices of the minimum IoU, in addition to 0 and leaving the image unchanged.
        min_size: Minimum side of the window, relative to the image's.
    """

    min_ious: tuple[UnitFloat, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)
    min_size: PositiveUnitFloat = 0.3

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        targets = sample.targets
        boxes = torch.cat([targets.boxes, targets.ignored_boxes])
        choices = (None, *self.min_ious, 0.0)
        while True:
            min_iou = choices[rng.integers(len(choices))]
            if min_iou is None:
                return sample
            for _ in range(_ATTEMPTS):
                window = self._window(sample.image.shape[0], sample.image.shape[1], rng)
                if window is not None and _fits(window, boxes, min_iou):
                    return _cut(sample, window)

    def _window(
        self, height: int, width: int, rng: np.random.Generator
    ) -> tuple[int, int, int, int] | None:
        """A random window x1, y1, x2, y2; None if its aspect ratio is out of range."""
        new_width = rng.uniform(self.min_size * width, width)
        new_height = rng.uniform(self.min_size * height, height)
        if not 0.5 <= new_height / new_width <= 2:
            return None
        left = rng.uniform(0, width - new_width)
        top = rng.uniform(0, height - new_height)
        window = int(left), int(top), int(left + new_width), int(top + new_height)
        return window if window[2] > window[0] and window[3] > window[1] else None


def _fits(window: tuple[int, int, int, int], boxes: Tensor, min_iou: float) -> bool:
    if len(boxes) == 0:
        return True
    iou = pairwise_iou(boxes.new_tensor([window]), boxes)
    return bool(iou.min() >= min_iou) and bool(_center_inside(boxes, window).any())


def _center_inside(boxes: Tensor, window: tuple[int, int, int, int]) -> Tensor:
    center = (boxes[:, :2] + boxes[:, 2:]) / 2
    low, high = boxes.new_tensor(window[:2]), boxes.new_tensor(window[2:])
    return ((center > low) & (center < high)).all(1)


def _cut(sample: Sample, window: tuple[int, int, int, int]) -> Sample:
    x1, y1, x2, y2 = window
    targets = sample.targets
    kept = targets[_center_inside(targets.boxes, window)]
    ignored = targets.ignored_boxes[_center_inside(targets.ignored_boxes, window)]
    kept = replace(kept, ignored_boxes=ignored)
    moved = move(Sample(sample.image, kept, sample.info), sample.image[y1:y2, x1:x2], x1, y1)
    size = moved.info.size
    clipped = replace(
        moved.targets,
        boxes=clip_boxes(moved.targets.boxes, size),
        ignored_boxes=clip_boxes(moved.targets.ignored_boxes, size),
    )
    return Sample(moved.image, clipped, moved.info)
