"""Random rotation, scaling, shear and shift."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import cv2
import numpy as np

from detzoo.config import Interval, NonNegativeFloat, PositiveFloat, Range, config
from detzoo.data.sample import Sample, Transform
from detzoo.data.transforms.geometry import keep_visible
from detzoo.data.transforms.warp import around
from detzoo.structures import ImageInfo


@config
class RandomAffine(Transform):
    """Scales, rotates, shears and shifts an image at random.

    Rotation and scaling are about the top left corner. A box becomes the enclosing box of its
    transformed corners.

    Args:
        max_degrees: Maximum rotation angle, in degrees.
        scale_range: Range of the scale factor.
        max_shear_degrees: Maximum shear angle along each axis, in degrees.
        max_shift: Maximum shift, relative to the sides of the new image.
        border: Pixels (rows, columns) added on each side of the image; negative: removed.
        fill: Gray value outside the image.
    """

    max_degrees: NonNegativeFloat = 10.0
    scale_range: Interval[PositiveFloat] = (0.5, 1.5)
    max_shear_degrees: Annotated[float, Range(0, 90, below=True)] = 2.0
    max_shift: NonNegativeFloat = 0.1
    border: tuple[int, int] = (0, 0)
    fill: Annotated[int, Range(0, 255)] = 114

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = (
            side + 2 * border for side, border in zip(sample.image.shape[:2], self.border)
        )
        matrix = self._matrix(height, width, rng)
        image = cv2.warpAffine(
            sample.image, matrix[:2], (width, height), borderValue=(self.fill,) * 4
        )
        targets = sample.targets
        moved = replace(
            targets,
            boxes=around(targets.boxes, matrix),
            ignored_boxes=around(targets.ignored_boxes, matrix),
            masks=None,
            semantic_map=None,
        )
        info = ImageInfo.of((height, width), id=sample.info.id, path=sample.info.path)
        return Sample(image, keep_visible(moved, info.size), info)

    def _matrix(self, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
        """The matrix (3, 3) of scaling, then rotation, shear and shift."""
        angle = np.radians(rng.uniform(-self.max_degrees, self.max_degrees))
        scale = rng.uniform(*self.scale_range)
        most = self.max_shear_degrees
        shear_x, shear_y = np.tan(np.radians(rng.uniform(-most, most, 2)))
        x, y = rng.uniform(-self.max_shift, self.max_shift, 2) * (width, height)
        cos, sin = np.cos(angle), np.sin(angle)
        rotation = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        shear = np.array([[1, shear_x, 0], [shear_y, 1, 0], [0, 0, 1]])
        shift = np.array([[1, 0, x], [0, 1, y], [0, 0, 1]])
        return shift @ shear @ rotation @ np.diag([scale, scale, 1])
