"""Flips."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import cv2
import numpy as np

from detzoo.config import ConfigError, NonEmpty, UnitFloat, config
from detzoo.data.sample import Sample, Transform
from detzoo.data.transforms.semantic import flip_map
from detzoo.ops.boxes import flip_boxes
from detzoo.structures import ImageInfo, Targets
from detzoo.structures.images import Flip as FlipState

Direction = Literal["horizontal", "vertical", "diagonal"]

_OPENCV_CODE = {"horizontal": 1, "vertical": 0, "diagonal": -1}
# (flipped horizontally, flipped vertically)
_AXES: dict[FlipState, tuple[bool, bool]] = {
    "none": (False, False),
    "horizontal": (True, False),
    "vertical": (False, True),
    "diagonal": (True, True),
}


@config
class Flip(Transform):
    """Flips an image at random.

    Args:
        probability: Probability of a flip, or of a flip in each of ``directions``.
        directions: Directions, one of which is chosen at random.
    """

    probability: UnitFloat | tuple[UnitFloat, ...] = 0.5
    directions: NonEmpty[Direction] = ("horizontal",)

    def __post_init__(self) -> None:
        if not isinstance(self.probability, tuple):
            return
        if len(self.probability) != len(self.directions) or sum(self.probability) > 1:
            raise ConfigError(
                f"probability: {self.probability!r} is not one for each of {self.directions!r}, "
                "with a sum up to 1"
            )

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        drawn = rng.random()
        if isinstance(self.probability, tuple):
            for direction, probability in zip(self.directions, self.probability):
                if drawn < probability:
                    return flip(sample, direction)
                drawn -= probability
            return sample
        if drawn >= self.probability:
            return sample
        return flip(sample, self.directions[rng.integers(len(self.directions))])


def flip(sample: Sample, direction: Direction) -> Sample:
    """Flips the sample."""
    size = sample.image.shape[0], sample.image.shape[1]
    targets = sample.targets
    flipped = Targets(
        boxes=flip_boxes(targets.boxes, size, direction),
        labels=targets.labels,
        ignored_boxes=flip_boxes(targets.ignored_boxes, size, direction),
        masks=None if targets.masks is None else targets.masks.flip(direction),
        semantic_map=flip_map(targets.semantic_map, direction),
    )
    image = cv2.flip(sample.image, _OPENCV_CODE[direction])
    return Sample(image, flipped, flipped_info(sample.info, direction))


def flipped_info(info: ImageInfo, direction: Direction) -> ImageInfo:
    """The info of the flipped image: a flip of the scaled image, then an offset."""
    (height, width), (x, y) = info.size, info.offset
    now_x, now_y = _AXES[direction]
    if now_x:
        x = width - info.original_size[1] * info.scale[0] - x
    if now_y:
        y = height - info.original_size[0] * info.scale[1] - y
    was_x, was_y = _AXES[info.flip]
    state = next(name for name, axes in _AXES.items() if axes == (was_x != now_x, was_y != now_y))
    return replace(info, flip=state, offset=(x, y))
