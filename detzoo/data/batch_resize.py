"""Training on images of changing size: whole batches are scaled on the device."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch.nn.functional as F

from detzoo.config import ConfigError, config
from detzoo.structures import ImageBatch, ImageInfo, Targets


@config
class RandomBatchResize:
    """The longer side of the batch becomes ``divisor`` times a number of the range ``multiples``,
    another one every ``every`` steps; the first of these keep the size that the transforms made.

    The size follows from the seed and the step alone, so that all processes have the same.
    """

    multiples: tuple[int, int]
    divisor: int = 32
    every: int = 10

    def __post_init__(self) -> None:
        if not 1 <= self.multiples[0] <= self.multiples[1]:
            raise ConfigError(f"multiples: {self.multiples!r} is not a range of at least one")

    def resize(
        self, images: ImageBatch, targets: Sequence[Targets], *, seed: int, step: int
    ) -> tuple[ImageBatch, tuple[Targets, ...]]:
        """The batch of ``step`` (counted from 0) in the size that it is trained in."""
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
