from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from detzoo.structures import BitmapMasks, Detections, ImageInfo, RoIMasks
from detzoo.structures.images import Flip

# Original pixels of a 40 x 60 image.
BOXES = torch.tensor([[10.0, 5.0, 30.0, 25.0], [0.0, 0.0, 60.0, 40.0], [50.0, 30.0, 55.0, 38.0]])
INFO = ImageInfo.of((40, 60))


def detections(boxes: torch.Tensor = BOXES) -> Detections:
    count = len(boxes)
    return Detections(boxes, torch.linspace(0.9, 0.1, count), torch.arange(count))


def to_input(boxes: torch.Tensor, info: ImageInfo) -> torch.Tensor:
    """x_input = flip(x_original * scale_x) + offset_x, point by point."""
    height, width = info.original_size
    out = []
    for x1, y1, x2, y2 in boxes.tolist():
        x1, x2 = x1 * info.scale[0], x2 * info.scale[0]
        y1, y2 = y1 * info.scale[1], y2 * info.scale[1]
        if info.flip in ("horizontal", "diagonal"):
            x1, x2 = width * info.scale[0] - x2, width * info.scale[0] - x1
        if info.flip in ("vertical", "diagonal"):
            y1, y2 = height * info.scale[1] - y2, height * info.scale[1] - y1
        (dx, dy) = info.offset
        out.append([x1 + dx, y1 + dy, x2 + dx, y2 + dy])
    return torch.tensor(out)


@pytest.mark.parametrize("flip", ["none", "horizontal", "vertical", "diagonal"])
@pytest.mark.parametrize("offset", [(0.0, 0.0), (7.0, -3.0)])
@pytest.mark.parametrize("scale", [(1.0, 1.0), (2.0, 1.5)])
def test_to_original(flip: Flip, offset: tuple[float, float], scale: tuple[float, float]) -> None:
    info = dataclasses.replace(INFO, scale=scale, offset=offset, flip=flip)
    given = detections(to_input(BOXES, info))
    found = given.to_original(info)
    torch.testing.assert_close(found.boxes, BOXES)
    assert torch.equal(found.scores, given.scores)
    assert torch.equal(found.labels, given.labels)
    assert found.masks is None


def test_to_original_by_hand() -> None:
    info = dataclasses.replace(INFO, scale=(2.0, 2.0), offset=(10.0, 20.0), flip="horizontal")
    # 120 wide when scaled: [30, 30, 70, 50] less the offset is [20, 10, 60, 30], mirrored
    # [60, 10, 100, 30], halved [30, 5, 50, 15].
    found = detections(torch.tensor([[30.0, 30.0, 70.0, 50.0]])).to_original(info)
    assert found.boxes.tolist() == [[30, 5, 50, 15]]


def test_to_original_cuts_at_the_image() -> None:
    found = detections(torch.tensor([[-5.0, -5.0, 70.0, 50.0]])).to_original(INFO)
    assert found.boxes.tolist() == [[0, 0, 60, 40]]


@pytest.mark.parametrize("flip", ["none", "horizontal", "vertical", "diagonal"])
def test_masks_are_pasted_where_the_object_is(flip: Flip) -> None:
    """One corner of the box is the object; the flip moves the corner with the box."""
    grid = torch.zeros(1, 20, 20)  # a cell for each pixel of the box
    grid[0, :10, :10] = 1.0
    in_input = {
        "none": grid,
        "horizontal": grid.flip(2),
        "vertical": grid.flip(1),
        "diagonal": grid.flip(1, 2),
    }[flip]
    info = dataclasses.replace(INFO, scale=(2.0, 2.0), flip=flip, offset=(3.0, 4.0))
    given = dataclasses.replace(
        detections(to_input(BOXES[:1], info)), masks=RoIMasks(in_input, threshold=0.5)
    )
    masks = given.to_original(info).masks
    assert isinstance(masks, BitmapMasks)
    wanted = torch.zeros(1, 40, 60, dtype=torch.uint8)
    wanted[0, 5:15, 10:20] = 1
    assert torch.equal(masks.bitmaps, wanted)


def test_picking_and_moving_keep_the_parts_together() -> None:
    given = dataclasses.replace(detections(), masks=RoIMasks(torch.rand(3, 2, 2)))
    picked = given[torch.tensor([2, 0])].to("cpu")
    assert len(picked) == 2
    assert picked.labels.tolist() == [2, 0]
    assert isinstance(picked.masks, RoIMasks)
    assert isinstance(given.masks, RoIMasks)
    assert torch.equal(picked.masks.probabilities, given.masks.probabilities[[2, 0]])
    assert len(given[:0]) == 0


def test_nothing_found() -> None:
    empty = Detections.empty()
    assert empty.boxes.shape == (0, 4)
    assert empty.labels.dtype == torch.int64
    for flip in ("none", "diagonal"):
        info = dataclasses.replace(INFO, scale=(2.0, 2.0), flip=flip)  # type: ignore[arg-type]
        assert empty.to_original(info).boxes.shape == (0, 4)
    assert len(empty.to_supervision(["a"])) == 0
    assert len(Detections.from_supervision(empty.to_supervision())) == 0


def test_supervision_and_back() -> None:
    bitmaps = torch.zeros(3, 40, 60, dtype=torch.uint8)
    bitmaps[1, :20] = 1
    given = dataclasses.replace(detections(), masks=BitmapMasks(bitmaps))
    converted = given.to_supervision(["a", "b", "c"])
    assert converted.data["class_name"].tolist() == ["a", "b", "c"]
    assert converted.mask is not None
    assert converted.mask.dtype == bool
    back = Detections.from_supervision(converted)
    assert torch.equal(back.boxes, given.boxes)
    assert torch.equal(back.scores, given.scores)
    assert torch.equal(back.labels, given.labels)
    assert isinstance(back.masks, BitmapMasks)
    assert torch.equal(back.masks.bitmaps, bitmaps)


def test_supervision_without_scores_and_classes() -> None:
    import supervision

    bare = supervision.Detections(xyxy=np.array([[1.0, 2.0, 3.0, 4.0]]))
    found = Detections.from_supervision(bare)
    assert found.boxes.tolist() == [[1, 2, 3, 4]]
    assert found.scores.tolist() == [1]
    assert found.labels.tolist() == [0]
    assert found.masks is None
