"""Rotating, scaling, shearing and moving images at random."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch
from torch import Tensor

from detzoo.config import ConfigError, config
from detzoo.data.sample import Sample, Transform
from detzoo.data.transforms.geometry import keep_visible
from detzoo.structures import ImageInfo


@config
class RandomAffine(Transform):
    """Rotates by up to ``max_degrees``, scales by a factor from ``scale_range``, shears each axis
    by up to ``max_shear_degrees``, and moves by up to ``max_shift`` of the new image's sides.

    The new image is ``border`` (rows, columns) pixels larger on each side, smaller where that is
    negative. Rotation and scaling leave the top left corner where it is. ``fill`` is the color of
    what the image does not cover. A box becomes the smallest upright one around its corners.
    """

    max_degrees: float = 10.0
    scale_range: tuple[float, float] = (0.5, 1.5)
    max_shear_degrees: float = 2.0
    max_shift: float = 0.1
    border: tuple[int, int] = (0, 0)
    fill: int = 114

    def __post_init__(self) -> None:
        if not 0 < self.scale_range[0] <= self.scale_range[1]:
            raise ConfigError(f"scale_range: {self.scale_range!r} is not a range above zero")

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
            boxes=_around(targets.boxes, matrix),
            ignored_boxes=_around(targets.ignored_boxes, matrix),
            masks=None,
            semantic_map=None,
        )
        info = ImageInfo.of((height, width), id=sample.info.id, path=sample.info.path)
        return Sample(image, keep_visible(moved, info.size), info)

    def _matrix(self, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
        """(3, 3): scaling, then rotation, shear and shift."""
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


def _around(boxes: Tensor, matrix: np.ndarray) -> Tensor:
    """The upright boxes around those (N, 4) after the affine map ``matrix``."""
    linear = boxes.new_tensor(matrix[:2, :2].tolist())
    shift = boxes.new_tensor(matrix[:2, 2].tolist())
    corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].view(-1, 4, 2) @ linear.T + shift
    return torch.cat([corners.amin(1), corners.amax(1)], 1)
