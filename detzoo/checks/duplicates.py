"""Objects that were annotated twice."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from detzoo.checks.finding import Finding, Place, Split, tally

# Boxes of one object drawn by two people overlap less, those of one that was copied more.
SAME_BOX = 0.95


def check_duplicates(split: Split) -> Iterator[Finding]:
    """Boxes that lie on another one of their image; crowds aside."""
    annotations = split.dataset.annotations
    first, second = _overlapping(split)
    same_class = annotations.labels[first] == annotations.labels[second]
    pairs = torch.stack([first, second], 1)
    for kind, chosen, what, advice in (
        (
            "duplicate-box",
            pairs[same_class],
            "of one class",
            "Detectors learn to find the object twice, and one of the two counts as missed in "
            "evaluation. Remove one.",
        ),
        (
            "box-of-two-classes",
            pairs[~same_class],
            "of different classes",
            "The object has two labels. Unless that is meant, keep the right one.",
        ),
    ):
        if len(chosen):
            images = annotations.image_index[chosen[:, 0]].tolist()
            yield Finding(
                kind,
                "warning",
                split.name,
                tally(f"pairs of boxes {what} that coincide", len(chosen)),
                advice,
                tuple(Place(split, i, (a, b)) for i, (a, b) in zip(images, chosen.tolist())),
            )


def _overlapping(split: Split) -> tuple[Tensor, Tensor]:
    """The pairs of objects of one image whose boxes have an IoU of ``SAME_BOX``: two (K,)."""
    annotations = split.dataset.annotations
    image, boxes = annotations.image_index, annotations.boxes
    regular = ~annotations.is_crowd & (boxes[:, 2:] > 0).all(1)
    rows = regular.nonzero()[:, 0]
    firsts, seconds = [rows[:0]], [rows[:0]]
    # Row k is compared with row k + 1, then with k + 2, ... while both are of one image.
    start, shift = torch.arange(len(rows)), 1
    while len(start):
        start = start[start + shift < len(rows)]
        start = start[image[rows[start]] == image[rows[start + shift]]]
        a, b = rows[start], rows[start + shift]
        same = _iou(boxes[a], boxes[b]) >= SAME_BOX
        firsts.append(a[same])
        seconds.append(b[same])
        shift += 1
    return torch.cat(firsts), torch.cat(seconds)


def _iou(a: Tensor, b: Tensor) -> Tensor:
    """Of boxes xywh, row by row: (K, 4) twice -> (K,)."""
    low = torch.maximum(a[:, :2], b[:, :2])
    high = torch.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:])
    inter = (high - low).clamp(min=0).prod(1)
    return inter / (a[:, 2:].prod(1) + b[:, 2:].prod(1) - inter)
