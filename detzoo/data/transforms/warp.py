"""Affine maps of images with their targets."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch
from torch import Tensor

from detzoo.data.sample import Sample
from detzoo.data.transforms.colors import Color, values_of
from detzoo.data.transforms.geometry import has_area
from detzoo.data.transforms.semantic import warp_map
from detzoo.ops.boxes import clip_boxes


def warp(sample: Sample, matrix: np.ndarray, fill: Color) -> Sample:
    """The sample after the affine map ``matrix`` (2, 3) of its pixels, in an image of its size.

    What is outside the old image gets the color ``fill`` (BGR). A box becomes the enclosing box of
    its mapped corners, clipped to the image; objects without area are removed. ``info`` does not
    follow, as it knows no rotations: such maps are for training.
    """
    height, width = sample.image.shape[:2]
    # OpenCV takes at most four values at once, the same for each channel after.
    color = np.resize(values_of(fill, sample.image), 4).tolist()
    image = cv2.warpAffine(sample.image, matrix, (width, height), borderValue=color)
    targets = sample.targets
    boxes = clip_boxes(around(targets.boxes, matrix), (height, width))
    ignored = clip_boxes(around(targets.ignored_boxes, matrix), (height, width))
    moved = replace(
        targets,
        boxes=boxes,
        ignored_boxes=ignored[has_area(ignored)],
        masks=None if targets.masks is None else targets.masks.warp(matrix),
        semantic_map=warp_map(targets.semantic_map, matrix),
    )
    return replace(sample, image=image, targets=moved[has_area(boxes)])


def around(boxes: Tensor, matrix: np.ndarray) -> Tensor:
    """The enclosing boxes of boxes (N, 4) after the affine map ``matrix`` (2 or 3, 3)."""
    linear = boxes.new_tensor(matrix[:2, :2].tolist())
    shift = boxes.new_tensor(matrix[:2, 2].tolist())
    corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].view(-1, 4, 2) @ linear.T + shift
    return torch.cat([corners.amin(1), corners.amax(1)], 1)
