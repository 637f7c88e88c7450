"""Copying objects from one image to another (https://arxiv.org/abs/2012.07177)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from detzoo.config import NonNegativeFloat, NonNegativeInt, PositiveInt, config
from detzoo.data.sample import Draw, MixTransform, Sample
from detzoo.data.transforms.geometry import has_area, move
from detzoo.data.transforms.mosaic import paste
from detzoo.ops.boxes import clip_boxes
from detzoo.structures import BitmapMasks, Targets
from detzoo.structures.images import Size


@config
class CopyPaste(MixTransform):
    """Pastes random objects of another image at the place that they have there.

    Objects that they cover lose that part of their masks, and get the boxes of what is left; those
    that are covered too far are removed. Without masks, boxes are pasted whole. The other image has
    passed the transforms before this one, which should make all images as large.

    Args:
        max_objects: Maximum number of objects to paste, a random number of which are; None: all.
        max_box_change: An object stays if no side of its box moves by more than this, in pixels,
        min_area: or if more than this is left of its mask, in pixels.
    """

    max_objects: PositiveInt | None = 99
    max_box_change: NonNegativeFloat = 10.0
    min_area: NonNegativeInt = 300

    def mix(self, sample: Sample, rng: np.random.Generator, draw: Draw) -> Sample:
        other = _in_frame(draw(rng), sample.image)
        found = other.targets
        if self.max_objects is not None:
            count = int(rng.integers(min(len(found), self.max_objects), endpoint=True))
            found = found[torch.from_numpy(rng.choice(len(found), count, replace=False))]
        if len(found) == 0:
            return sample
        size = sample.image.shape[0], sample.image.shape[1]
        shapes, pasted = _shapes(sample.targets, size), _shapes(found, size)
        covered = pasted.any(0)  # (H, W)
        shapes = shapes & ~covered
        boxes = BitmapMasks(shapes.to(torch.uint8)).boxes()
        moved = (boxes - sample.targets.boxes).abs().amax(1)
        kept = (moved <= self.max_box_change) | (shapes.sum((1, 2)) > self.min_area)
        kept &= has_area(boxes)
        own = replace(sample.targets, boxes=boxes)[kept]
        masks = None
        if own.masks is not None:
            missing = torch.cat([_missing(own), _missing(found)])
            bitmaps = torch.cat([shapes[kept], pasted]).to(torch.uint8)
            bitmaps[missing] = 0
            masks = BitmapMasks(bitmaps, missing if missing.any() else None)
        semantic_map = own.semantic_map
        if semantic_map is not None and found.semantic_map is not None:
            semantic_map = torch.where(covered, found.semantic_map, semantic_map)
        targets = Targets(
            boxes=torch.cat([own.boxes, found.boxes]),
            labels=torch.cat([own.labels, found.labels]),
            ignored_boxes=own.ignored_boxes,
            masks=masks,
            semantic_map=semantic_map,
        )
        image = np.where(covered.numpy()[..., None], other.image, sample.image)
        return replace(sample, image=image, targets=targets)


def _in_frame(other: Sample, image: np.ndarray) -> Sample:
    """``other`` cut or extended to the size of ``image``; objects outside are removed."""
    frame = np.zeros_like(image)
    paste(frame, other.image, 0, 0)
    moved = move(other, frame, 0, 0)
    boxes = clip_boxes(moved.targets.boxes, moved.info.size)
    return replace(moved, targets=replace(moved.targets, boxes=boxes)[has_area(boxes)])


def _shapes(targets: Targets, size: Size) -> Tensor:
    """The pixels of each object, (N, H, W) bool: its mask, or its box where it has none."""
    if targets.masks is None:
        shapes = torch.zeros((len(targets), *size), dtype=torch.bool)
        missing = torch.ones(len(targets), dtype=torch.bool)
    else:
        shapes = targets.masks.to_bitmaps().bitmaps.bool()
        missing = _missing(targets)
    for i in missing.nonzero()[:, 0].tolist():
        x1, y1, x2, y2 = targets.boxes[i].int().tolist()
        shapes[i, y1:y2, x1:x2] = True
    return shapes


def _missing(targets: Targets) -> Tensor:
    """Which of the objects have no mask: (N,) bool."""
    missing = None if targets.masks is None else targets.masks.is_missing
    return torch.zeros(len(targets), dtype=torch.bool) if missing is None else missing
