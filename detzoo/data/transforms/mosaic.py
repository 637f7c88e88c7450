"""Four images in one (YOLOX, https://arxiv.org/abs/2107.08430)."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from detzoo.config import config
from detzoo.data.sample import Draw, MixTransform, Sample
from detzoo.data.transforms.geometry import keep_visible
from detzoo.structures import ImageInfo, Targets


@config
class Mosaic(MixTransform):
    """Puts four images around a random point of a canvas of twice ``size`` (height, width).

    The image is top left, three others of the data are around it. Each is scaled to fit into
    ``size``, lies with a corner on the point, and is cut off at the canvas. The point is drawn from
    ``centre_range`` (in parts of ``size``); ``fill`` is the colour of what no image covers.
    """

    size: tuple[int, int] = (640, 640)
    centre_range: tuple[float, float] = (0.5, 1.5)
    fill: int = 114

    def mix(self, sample: Sample, rng: np.random.Generator, draw: Draw) -> Sample:
        height, width = self.size
        centre_x = int(rng.uniform(*self.centre_range) * width)
        centre_y = int(rng.uniform(*self.centre_range) * height)
        shape = (2 * height, 2 * width, sample.image.shape[2])
        canvas = np.full(shape, self.fill, sample.image.dtype)
        parts = []
        for number in range(4):
            part = sample if number == 0 else draw(rng)
            scale = min(height / part.image.shape[0], width / part.image.shape[1])
            rows, columns = (max(int(side * scale), 1) for side in part.image.shape[:2])
            image = cv2.resize(part.image, (columns, rows), interpolation=cv2.INTER_LINEAR)
            left = centre_x if number % 2 else centre_x - columns
            top = centre_y if number >= 2 else centre_y - rows
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
    """Puts what fits of ``image`` onto ``canvas``, with its top left corner at (left, top)."""
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
