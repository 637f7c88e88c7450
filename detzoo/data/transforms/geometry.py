"""Geometry shared by transforms: windows, visible boxes, and the mapping to the original image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from torch import Tensor

from detzoo.data.sample import Sample
from detzoo.data.transforms.semantic import crop_map
from detzoo.ops.boxes import clip_boxes
from detzoo.structures import ImageInfo, Targets
from detzoo.structures.images import Size


def move(sample: Sample, image: np.ndarray, left: int, top: int) -> Sample:
    """Moves the targets of ``sample`` to a window at (left, top), whose pixels are ``image``.

    The window may extend beyond the old image (negative ``left`` and ``top``). Boxes are not
    clipped.
    """
    size = image.shape[0], image.shape[1]
    targets = sample.targets
    shift = targets.boxes.new_tensor([left, top, left, top])
    moved = Targets(
        boxes=targets.boxes - shift,
        labels=targets.labels,
        ignored_boxes=targets.ignored_boxes - shift,
        masks=None if targets.masks is None else targets.masks.crop(left, top, size),
        semantic_map=crop_map(targets.semantic_map, left, top, size),
    )
    x, y = sample.info.offset
    info = replace(resized_info(sample.info, size), offset=(x - left, y - top))
    return Sample(image, moved, info)


def resized_info(info: ImageInfo, size: Size) -> ImageInfo:
    """The info of an image that now has ``size``, without padding."""
    return replace(info, size=size, padded_size=size)


def has_area(boxes: Tensor) -> Tensor:
    """Whether boxes (N, 4) have a width and a height greater than 0 -> (N,) bool."""
    return (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])


def keep_visible(targets: Targets, size: Size) -> Targets:
    """Removes objects outside an image of ``size`` and clips the others to it."""
    height, width = size

    def is_visible(boxes: Tensor) -> Tensor:
        inside = (boxes[:, 0] < width) & (boxes[:, 1] < height)
        return inside & (boxes[:, 2] > 0) & (boxes[:, 3] > 0)

    ignored = targets.ignored_boxes
    kept = targets[is_visible(targets.boxes)]
    return replace(
        kept,
        boxes=clip_boxes(kept.boxes, size),
        ignored_boxes=clip_boxes(ignored[is_visible(ignored)], size),
    )
