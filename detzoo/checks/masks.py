"""Masks that are missing, or that do not belong to their boxes."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from faster_coco_eval.core import mask as rle
from torch import Tensor

from detzoo.checks.finding import Finding, Split, at_objects, tally

# A box is that of a mask if no side is farther off than so many pixels, and this part of it.
PIXELS, FRACTION = 3.0, 0.1


def check_masks(split: Split) -> Iterator[Finding]:
    """Objects without a mask among others, and boxes that are not those of their masks."""
    annotations = split.dataset.annotations
    masks = annotations.segmentations
    if masks is None:
        return
    regular = ~annotations.is_crowd
    missing = ~masks.is_there & regular
    total = int(regular.sum())
    if missing.any():
        yield Finding(
            "mask-missing",
            "warning",
            split.name,
            tally("objects without a mask", int(missing.sum()), total),
            "Boxes alone are learned of them, and mask metrics ignore them. Draw their masks.",
            at_objects(split, missing),
        )
    off = _distance(split)
    boxes = annotations.boxes
    allowed = (FRACTION * boxes[:, 2:].max(1).values).clamp(min=PIXELS)
    apart = masks.is_there & regular & (off > allowed)
    if apart.any():
        yield Finding(
            "box-off-mask",
            "warning",
            split.name,
            tally("boxes that do not fit their masks", int(apart.sum()), total),
            "Box and mask contradict each other in training. Compute the boxes from the masks, or "
            "look for a box in another form.",
            at_objects(split, apart, lambda n: f"a side is {float(off[n]):.0f} pixels off"),
        )


def _distance(split: Split) -> Tensor:
    """How far the sides of each box are from those of its mask, at most, in pixels: (N,)."""
    annotations = split.dataset.annotations
    sizes = split.dataset.sizes[annotations.image_index]
    image_size = sizes.flip(1).double()
    top_left = annotations.boxes[:, :2]
    bottom_right = top_left + annotations.boxes[:, 2:]
    # Polygons may reach out of the image where boxes were clipped, and the other way around.
    box = torch.cat([top_left, bottom_right], 1).clamp(min=0)
    box = torch.minimum(box, image_size.repeat(1, 2))
    mask = _extents(split).clamp(min=0)
    mask = torch.minimum(mask, image_size.repeat(1, 2))
    return (box - mask).abs().max(1).values


def _extents(split: Split) -> Tensor:
    """(N, 4) the tight xyxy box of each mask; zeros where there is none."""
    annotations = split.dataset.annotations
    masks = annotations.segmentations
    assert masks is not None
    extents = torch.zeros((len(annotations), 4), dtype=torch.float64)
    # Points of polygon p are those of the object whose polygons include p.
    points_of = masks.point_offsets[masks.polygon_offsets].diff()
    with_points = points_of > 0
    if with_points.any():
        owner = torch.repeat_interleave(torch.arange(len(annotations)), points_of)
        index = owner[:, None].expand(-1, 2)
        for columns, reduce in ((slice(0, 2), "amin"), (slice(2, 4), "amax")):
            extents[:, columns] = extents[:, columns].scatter_reduce(
                0, index, masks.points, reduce, include_self=False
            )
    coded = (masks.rle_offsets.diff() > 0).nonzero()[:, 0].tolist()
    if coded:
        sizes = split.dataset.sizes[annotations.image_index[coded]].tolist()
        codes = [{"size": size, "counts": masks.code(n)} for n, size in zip(coded, sizes)]
        xywh = torch.as_tensor(rle.toBbox(codes), dtype=torch.float64).view(-1, 4)
        extents[coded] = torch.cat([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1)
    return extents
