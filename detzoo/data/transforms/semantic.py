"""Transforms of semantic maps: nearest neighbor, and ``UNLABELED`` outside the image."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor

from detzoo.config import PositiveInt, config
from detzoo.data.sample import Sample, Transform
from detzoo.structures import UNLABELED
from detzoo.structures.images import Size


@config
class ShrinkSemanticMap(Transform):
    """Pads the semantic map like the image, then downsamples it to the output size of the head.

    Must be the last transform, since the map then no longer has the size of the image.

    Args:
        stride: Downsampling factor.
    """

    stride: PositiveInt = 8

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        padded = crop_map(sample.targets.semantic_map, 0, 0, sample.info.padded_size)
        height, width = (int(side / self.stride + 0.5) for side in sample.info.padded_size)
        shrunk = resize_map(padded, (height, width))
        return replace(sample, targets=replace(sample.targets, semantic_map=shrunk))


def resize_map(classes: Tensor | None, size: Size) -> Tensor | None:
    """Resizes the map (H, W) to ``size`` (height, width)."""
    if classes is None:
        return None
    height, width = size
    resized = cv2.resize(classes.numpy(), (width, height), interpolation=cv2.INTER_NEAREST)
    return torch.from_numpy(resized)


def flip_map(
    classes: Tensor | None, direction: Literal["horizontal", "vertical", "diagonal"]
) -> Tensor | None:
    """Flips the map (H, W)."""
    axes = {"horizontal": (1,), "vertical": (0,), "diagonal": (0, 1)}[direction]
    return None if classes is None else classes.flip(axes)


def crop_map(classes: Tensor | None, left: int, top: int, size: Size) -> Tensor | None:
    """Crops the map (H, W) to ``size`` at (left, top); the window may extend beyond the map."""
    if classes is None:
        return None
    height, width = size
    out = classes.new_full((height, width), UNLABELED)
    y, x = max(top, 0), max(left, 0)
    window = classes[y : max(top + height, 0), x : max(left + width, 0)]
    rows, columns = window.shape
    out[y - top : y - top + rows, x - left : x - left + columns] = window
    return out


def warp_map(classes: Tensor | None, matrix: np.ndarray) -> Tensor | None:
    """The map (H, W) after the affine map ``matrix`` (2, 3) of its pixels."""
    if classes is None:
        return None
    height, width = classes.shape
    flags = cv2.INTER_NEAREST
    warped = cv2.warpAffine(
        classes.numpy(), matrix, (width, height), flags=flags, borderValue=UNLABELED
    )
    return torch.from_numpy(warped)
