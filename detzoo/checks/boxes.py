"""Boxes that are written in another way than the format says, or that lie outside their images."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from detzoo.checks.finding import Finding, Split, at_objects, tally

# Rounded coordinates, and those that count from 1, reach this far beyond an image, in pixels.
TOLERANCE = 1.0
# Objects that are needed to tell how boxes are written, and how many of them must agree.
ENOUGH_BOXES = 5
NEARLY_ALL = 0.99


def check_boxes(split: Split) -> Iterator[Finding]:
    """Boxes in another form, boxes outside the image, boxes under a pixel.

    Boxes in another form seem to be at fault in many ways; only the cause is reported then.
    """
    other_form = _normalized(split) or _corners(split)
    if other_form is not None:
        yield other_form
        return
    yield from _outside(split)
    yield from _tiny(split)


def _normalized(split: Split) -> Finding | None:
    boxes = split.dataset.annotations.boxes
    small = ((boxes >= 0) & (boxes <= 1)).all(1)
    if not (boxes % 1).any() or small.double().mean() < NEARLY_ALL:
        return None
    return Finding(
        "normalized-boxes",
        "error",
        split.name,
        tally("boxes with all coordinates between 0 and 1", int(small.sum()), len(boxes)),
        "Coordinates seem to be normalized. Multiply them by the width and height of the image.",
        at_objects(split, small),
    )


def _corners(split: Split) -> Finding | None:
    """Whether width and height are in truth the second corner.

    Then they exceed x and y, and stay within the image; read as a size, they leave it. Few boxes
    may do that by chance, unless all of them leave it.
    """
    boxes, image_width, image_height = _boxes_and_sizes(split)
    x, y, width, height = boxes.unbind(1)
    could_be = (width > x) & (height > y)
    could_be &= (width <= image_width + TOLERANCE) & (height <= image_height + TOLERANCE)
    if len(boxes) == 0 or could_be.double().mean() < NEARLY_ALL:
        return None
    leaves = _overhang(boxes, image_width, image_height) > TOLERANCE
    if not (leaves.any() if len(boxes) >= ENOUGH_BOXES else len(boxes) > 1 and leaves.all()):
        return None
    return Finding(
        "corners-as-size",
        "error",
        split.name,
        tally("boxes that seem to be x1, y1, x2, y2", int(could_be.sum()), len(boxes)),
        "They should be x, y, width, height; read like that, they reach outside their images. "
        "Subtract the first corner from the second.",
        at_objects(split, could_be),
    )


def _outside(split: Split) -> Iterator[Finding]:
    boxes, image_width, image_height = _boxes_and_sizes(split)
    x, y, width, height = boxes.unbind(1)
    away = (x >= image_width) | (x + width <= 0) | (y >= image_height) | (y + height <= 0)
    overhang = _overhang(boxes, image_width, image_height)
    partly = (overhang > TOLERANCE) & ~away
    if away.any():
        yield Finding(
            "box-off-image",
            "error",
            split.name,
            tally("boxes entirely outside their images", int(away.sum()), len(boxes)),
            "They are left out of training. Their coordinates, their image or its declared size is "
            "wrong.",
            at_objects(split, away),
        )
    if partly.any():
        yield Finding(
            "box-outside-image",
            "warning",
            split.name,
            tally("boxes that reach outside their images", int(partly.sum()), len(boxes)),
            "Keep them only if they are meant to cover what the image does not show. Otherwise, "
            "clip them to the image, or look for a wrong scale.",
            at_objects(split, partly, lambda n: f"by {float(overhang[n]):.0f} pixels"),
        )


def _tiny(split: Split) -> Iterator[Finding]:
    boxes = split.dataset.annotations.boxes
    width, height = boxes[:, 2:].unbind(1)
    tiny = (width < 1) | (height < 1)
    if tiny.any():
        yield Finding(
            "box-under-a-pixel",
            "warning",
            split.name,
            tally("boxes under a pixel wide or high", int(tiny.sum()), len(boxes)),
            "They are left out of training, but count in evaluation. Remove or redraw them.",
            at_objects(split, tiny, lambda n: f"{width[n]:g} x {height[n]:g} pixels"),
        )


def _boxes_and_sizes(split: Split) -> tuple[Tensor, Tensor, Tensor]:
    """(N, 4) boxes xywh, and the width and height (N,) of the image of each."""
    annotations = split.dataset.annotations
    height, width = split.image_sizes[annotations.image_index].double().unbind(1)
    return annotations.boxes, width, height


def _overhang(boxes: Tensor, image_width: Tensor, image_height: Tensor) -> Tensor:
    """How far each box reaches outside its image at most, in pixels; not positive if inside."""
    x, y, width, height = boxes.unbind(1)
    sides = [-x, -y, x + width - image_width, y + height - image_height]
    return torch.stack(sides, 1).max(1).values
