"""Resizing to a fixed size or to random sizes."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import cv2
import numpy as np
from PIL import Image

from detzoo.config import ConfigError, Interval, NonEmpty, PositiveFloat, PositiveInt, config
from detzoo.data.sample import Sample, Transform
from detzoo.data.transforms.geometry import resized_info
from detzoo.data.transforms.semantic import resize_map
from detzoo.ops.boxes import clip_boxes
from detzoo.structures import Targets
from detzoo.structures.images import Size


@config
class Resize(Transform):
    """Resizes an image and clips boxes to it.

    Args:
        sizes: Sizes (width, height), one of which is chosen at random.
        keep_ratio: Whether the aspect ratio is kept: the image is scaled such that its longer and
            shorter sides fit into the longer and shorter sides of the size.
        mode: "value" chooses one of the sizes, "range" samples each side between those of two
            sizes.
        ratio_range: Range of a random factor of the only size; None: no factor.
        library: Library for resizing: OpenCV interpolates between four pixels, Pillow averages all
            pixels in the area (antialiasing).
    """

    sizes: NonEmpty[tuple[PositiveInt, PositiveInt]] = ((1333, 800),)
    keep_ratio: bool = True
    mode: Literal["value", "range"] = "value"
    ratio_range: Interval[PositiveFloat] | None = None
    library: Literal["opencv", "pillow"] = "opencv"

    def __post_init__(self) -> None:
        if self.mode == "range" and len(self.sizes) not in (1, 2):
            raise ConfigError(f"sizes: a range has two ends, not {len(self.sizes)}")
        if self.ratio_range is not None and len(self.sizes) != 1:
            raise ConfigError("ratio_range: requires a single size to multiply")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        old = sample.image.shape[0], sample.image.shape[1]
        height, width = self._fit(old, self._choose(rng))
        image = self._resized(sample.image, (width, height))
        x, y = width / old[1], height / old[0]
        info = sample.info
        info = replace(
            resized_info(info, (height, width)),
            scale=(info.scale[0] * x, info.scale[1] * y),
            offset=(info.offset[0] * x, info.offset[1] * y),
        )
        targets = sample.targets
        factors = targets.boxes.new_tensor([x, y, x, y])
        resized = Targets(
            boxes=clip_boxes(targets.boxes * factors, info.size),
            labels=targets.labels,
            ignored_boxes=clip_boxes(targets.ignored_boxes * factors, info.size),
            masks=None if targets.masks is None else targets.masks.resize(info.size),
            semantic_map=resize_map(targets.semantic_map, info.size),
        )
        return Sample(image, resized, info)

    def _resized(self, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Resizes the image (H, W, C) uint8 to ``size`` (width, height)."""
        if self.library == "opencv":
            return cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
        channels = np.split(image, image.shape[2], 2)
        resized = (
            Image.fromarray(channel[..., 0]).resize(size, Image.Resampling.BILINEAR)
            for channel in channels
        )
        return np.stack([np.asarray(channel) for channel in resized], 2)

    def _choose(self, rng: np.random.Generator) -> tuple[int, int]:
        """Chooses the size (width, height) for one image."""
        first = self.sizes[0]
        if self.ratio_range is not None:
            ratio = rng.uniform(*self.ratio_range)
            return max(int(first[0] * ratio), 1), max(int(first[1] * ratio), 1)
        if len(self.sizes) == 1:
            return first
        if self.mode == "value":
            return self.sizes[rng.integers(len(self.sizes))]
        long = sorted(max(size) for size in self.sizes)
        short = sorted(min(size) for size in self.sizes)
        return (
            int(rng.integers(long[0], long[1], endpoint=True)),
            int(rng.integers(short[0], short[1], endpoint=True)),
        )

    def _fit(self, old: Size, target: tuple[int, int]) -> Size:
        """The new (height, width) of an image of size ``old``."""
        if not self.keep_ratio:
            return target[1], target[0]
        scale = min(max(target) / max(old), min(target) / min(old))
        height, width = (max(int(side * scale + 0.5), 1) for side in old)
        return height, width


@config
class Rescale(Transform):
    """Resizes an image by a factor of its own size, and clips boxes to it.

    Args:
        factor: The factor of both sides.
        library: See :class:`Resize`.
    """

    factor: PositiveFloat
    library: Literal["opencv", "pillow"] = "opencv"

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = (max(int(side * self.factor), 1) for side in sample.image.shape[:2])
        return Resize(sizes=((width, height),), library=self.library)(sample, rng)
