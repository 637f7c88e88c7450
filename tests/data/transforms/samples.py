"""Samples for the tests of transforms, and what must hold after any transform."""

from __future__ import annotations

import numpy as np
import torch

from detzoo.data.sample import Sample
from detzoo.structures import BitmapMasks, Detections, ImageInfo, PolygonMasks, Targets
from tests.data.files import noise


def sample(
    height: int = 40,
    width: int = 60,
    boxes: tuple[tuple[float, ...], ...] = ((4, 6, 20, 16), (30, 10, 55, 38)),
    ignored: tuple[tuple[float, ...], ...] = ((10, 20, 25, 39),),
    masks: str = "bitmap",
) -> Sample:
    """Rectangular objects labelled 0, 1, ..., with masks that fill their boxes."""
    corners = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    polygons = PolygonMasks(
        tuple((np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]]),) for x1, y1, x2, y2 in boxes),
        (height, width),
    )
    stored: dict[str, BitmapMasks | PolygonMasks | None] = {
        "bitmap": polygons.to_bitmaps(),
        "polygon": polygons,
        "none": None,
    }
    targets = Targets(
        boxes=corners,
        labels=torch.arange(len(corners)),
        ignored_boxes=torch.tensor(ignored, dtype=torch.float32).reshape(-1, 4),
        masks=stored[masks],
    )
    return Sample(noise(height, width), targets, ImageInfo.of((height, width), id=5, path="5.png"))


def check_consistent(before: Sample, after: Sample) -> None:
    """Parallel parts have one length, sizes agree, and ``info`` maps boxes back to the original.

    Boxes are compared in original pixels: each must lie in the one of ``before`` with its label,
    as transforms only move and clip.
    """
    targets, size = after.targets, after.image.shape[:2]
    assert after.info.size == size
    assert after.info.original_size == before.info.original_size
    assert targets.boxes.dtype == torch.float32
    assert len(targets.labels) == len(targets.boxes)
    if before.targets.masks is None:
        assert targets.masks is None
    else:
        assert targets.masks is not None
        assert len(targets.masks) == len(targets.boxes)
        assert targets.masks.size == size
        # The masks fill their boxes, give or take rounding to pixels.
        for box, mask_box in zip(targets.boxes, targets.masks.to_bitmaps().boxes()):
            assert (box - mask_box).abs().max() <= 2
    back = Detections(targets.boxes, torch.ones(len(targets)), targets.labels)
    original = back.to_original(after.info)
    for box, label in zip(original.boxes, original.labels.tolist()):
        outer = before.targets.boxes[label]
        assert (box[:2] >= outer[:2] - 1e-3).all()
        assert (box[2:] <= outer[2:] + 1e-3).all()
