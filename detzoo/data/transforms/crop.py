"""Random crops."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from detzoo.config import ConfigError, PositiveFloat, config
from detzoo.data.sample import Sample, SkipSample, Transform
from detzoo.data.transforms.geometry import has_area, move
from detzoo.ops.boxes import clip_boxes
from detzoo.structures import Targets
from detzoo.structures.images import Size


@config
class Crop(Transform):
    """Crops the image at a random position; objects outside the crop are removed.

    Args:
        size: Size (height, width) of the crop, in the units of ``kind``.
        kind: "absolute": pixels; "absolute_range": minimum and maximum of random sides; "relative":
            fractions of the image; "relative_range": minimum of random fractions, up to 1.
        allow_empty: Whether a crop may contain no object; otherwise another image is used.
        boxes_from_masks: Whether boxes become those of what is left of the masks.
    """

    size: tuple[PositiveFloat, PositiveFloat]
    kind: Literal["absolute", "absolute_range", "relative", "relative_range"] = "absolute"
    allow_empty: bool = False
    boxes_from_masks: bool = False

    def __post_init__(self) -> None:
        if self.kind.startswith("relative") and max(self.size) > 1:
            raise ConfigError(
                f"size: {self.size!r} is larger than the image; give fractions up to 1"
            )
        if self.kind.startswith("absolute") and any(side % 1 for side in self.size):
            raise ConfigError(f"size: {self.size!r} is not in whole pixels")
        if self.kind == "absolute_range" and self.size[0] > self.size[1]:
            raise ConfigError(f"size: the minimum side of {self.size!r} is above the maximum")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = sample.image.shape[0], sample.image.shape[1]
        rows, columns = self._window((height, width), rng)
        top = int(rng.integers(height - rows, endpoint=True))
        left = int(rng.integers(width - columns, endpoint=True))
        moved = move(sample, sample.image[top : top + rows, left : left + columns], left, top)
        boxes = clip_boxes(moved.targets.boxes, (rows, columns))
        ignored = clip_boxes(moved.targets.ignored_boxes, (rows, columns))
        targets = replace(moved.targets, boxes=boxes, ignored_boxes=ignored[has_area(ignored)])
        targets = targets[has_area(boxes)]
        if len(targets) == 0 and not self.allow_empty:
            raise SkipSample
        if self.boxes_from_masks:
            targets = replace(targets, boxes=_tight(targets))
        return Sample(moved.image, targets, moved.info)

    def _window(self, image: Size, rng: np.random.Generator) -> Size:
        """The size (height, width) of the crop, at most that of the image."""
        first, second = self.size
        height, width = image
        if self.kind == "absolute":
            return min(int(first), height), min(int(second), width)
        if self.kind == "absolute_range":
            rows, columns = (
                int(rng.integers(min(side, int(first)), min(side, int(second)), endpoint=True))
                for side in image
            )
            return rows, columns
        if self.kind == "relative_range":
            first += rng.random() * (1 - first)
            second += rng.random() * (1 - second)
        return max(int(height * first + 0.5), 1), max(int(width * second + 0.5), 1)


def _tight(targets: Targets) -> Tensor:
    """The boxes of the masks, (N, 4); those of ``targets`` where an object has no mask."""
    if targets.masks is None:
        return targets.boxes
    missing, boxes = targets.masks.is_missing, targets.masks.boxes()
    return boxes if missing is None else torch.where(missing[:, None], targets.boxes, boxes)
