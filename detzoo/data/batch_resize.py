"""Multi-scale training by resizing whole batches on the device (YOLOX)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch.nn.functional as F

from detzoo.config import Interval, PositiveInt, config
from detzoo.structures import ImageBatch, ImageInfo, Targets


@config
class RandomBatchResize:
    """Resizes batches to random sizes in training, which change every few steps.

    The size depends on the seed and the step alone, so that it is the same in all processes. The
    first size is the one that the transforms produce.

    Args:
        multiples: Range of the batch's longer side, in units of ``divisor``.
        divisor: Unit of the longer side, in pixels.
        every: Number of steps between changes of the size.
    """

    multiples: Interval[PositiveInt]
    divisor: PositiveInt = 32
    every: PositiveInt = 10

    def resize(
        self, images: ImageBatch, targets: Sequence[Targets], *, seed: int, step: int
    ) -> tuple[ImageBatch, tuple[Targets, ...]]:
        """Resizes the batch of ``step``, counted from 0."""
        period = step // self.every
        old = images.pixels.shape[2], images.pixels.shape[3]
        rng = np.random.default_rng((seed, period))
        side = self.divisor * int(rng.integers(*self.multiples, endpoint=True))
        if period == 0 or side == max(old):
            return images, tuple(targets)
        height, width = (max(round(length * side / max(old)), 1) for length in old)
        pixels = F.interpolate(images.pixels, (height, width), mode="bilinear")
        y, x = height / old[0], width / old[1]
        infos = tuple(_scaled_info(info, x, y) for info in images.infos)
        scaled = []
        for target in targets:
            factors = target.boxes.new_tensor([x, y, x, y])
            scaled.append(
                replace(
                    target,
                    boxes=target.boxes * factors,
                    ignored_boxes=target.ignored_boxes * factors,
                )
            )
        return dataclasses.replace(images, pixels=pixels, infos=infos), tuple(scaled)


def _scaled_info(info: ImageInfo, x: float, y: float) -> ImageInfo:
    def scaled(size: tuple[int, int]) -> tuple[int, int]:
        return round(size[0] * y), round(size[1] * x)

    return replace(
        info,
        size=scaled(info.size),
        padded_size=scaled(info.padded_size),
        scale=(info.scale[0] * x, info.scale[1] * y),
        offset=(info.offset[0] * x, info.offset[1] * y),
    )
