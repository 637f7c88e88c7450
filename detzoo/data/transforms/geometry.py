"""What several transforms do to a sample: move a window over it, and note where the image went."""

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
    """``sample`` seen through a window at (left, top) whose pixels are ``image``.

    The window may reach beyond the old image (negative ``left`` and ``top``). Boxes are moved
    along, not clipped.
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
    """The image now has ``size``, without any padding."""
    return replace(info, size=size, padded_size=size)


def has_area(boxes: Tensor) -> Tensor:
    """Which boxes (N, 4) are wider and higher than zero -> (N,) bool."""
    return (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])


def keep_visible(targets: Targets, size: Size) -> Targets:
    """Without objects that lie outside an image of ``size``; the others cut at its borders."""
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
