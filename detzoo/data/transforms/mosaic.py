"""Four images in one (YOLOX, https://arxiv.org/abs/2107.08430)."""

from __future__ import annotations

from typing import Annotated

import cv2
import numpy as np
import torch

from detzoo.config import Interval, PositiveInt, Range, UnitFloat, config
from detzoo.data.sample import Draw, MixTransform, Sample
from detzoo.data.transforms.geometry import keep_visible
from detzoo.structures import ImageInfo, Targets


@config
class Mosaic(MixTransform):
    """Combines the image and three others around a random point of a canvas of twice the size.

    Each image is resized to fit into the size, has one corner at the point, and is clipped to the
    canvas; the first one is at the top left.

    Args:
        size: Size (height, width) that each image is fitted into.
        center_range: Range of the point's position, relative to ``size``.
        fill: Gray value of the background.
        probability: Probability of a mosaic; otherwise the image is unchanged.
    """

    size: tuple[PositiveInt, PositiveInt] = (640, 640)
    center_range: Interval[Annotated[float, Range(0, 2)]] = (0.5, 1.5)
    fill: Annotated[int, Range(0, 255)] = 114
    probability: UnitFloat = 1.0

    def mix(self, sample: Sample, rng: np.random.Generator, draw: Draw) -> Sample:
        if self.probability < 1 and rng.random() >= self.probability:
            return sample
        height, width = self.size
        center_x = int(rng.uniform(*self.center_range) * width)
        center_y = int(rng.uniform(*self.center_range) * height)
        shape = (2 * height, 2 * width, sample.image.shape[2])
        canvas = np.full(shape, self.fill, sample.image.dtype)
        parts = []
        for number in range(4):
            part = sample if number == 0 else draw(rng)
            scale = min(height / part.image.shape[0], width / part.image.shape[1])
            rows, columns = (max(int(side * scale), 1) for side in part.image.shape[:2])
            image = cv2.resize(part.image, (columns, rows), interpolation=cv2.INTER_LINEAR)
            left = center_x if number % 2 else center_x - columns
            top = center_y if number >= 2 else center_y - rows
            paste(canvas, image, left, top)
            parts.append(_scaled(part.targets, scale, left, top))
        targets = Targets(
            boxes=torch.cat([part.boxes for part in parts]),
            labels=torch.cat([part.labels for part in parts]),
            ignored_boxes=torch.cat([part.ignored_boxes for part in parts]),
        )
        info = ImageInfo.of((2 * height, 2 * width), id=sample.info.id, path=sample.info.path)
        return Sample(canvas, keep_visible(targets, info.size), info)


def paste(canvas: np.ndarray, image: np.ndarray, left: int, top: int) -> None:
    """Pastes ``image`` into ``canvas`` with its top left corner at (left, top), clipped."""
    y0, x0 = max(top, 0), max(left, 0)
    y1 = min(top + image.shape[0], canvas.shape[0])
    x1 = min(left + image.shape[1], canvas.shape[1])
    part = image[y0 - top : y1 - top, x0 - left : x1 - left]
    canvas[y0:y1, x0:x1] = part.reshape(*part.shape[:2], canvas.shape[2])


def _scaled(targets: Targets, scale: float, left: int, top: int) -> Targets:
    shift = targets.boxes.new_tensor([left, top, left, top])
    return Targets(
        targets.boxes * scale + shift, targets.labels, targets.ignored_boxes * scale + shift
    )
