"""Tiles of composed scenes, seen by a detector that makes no mistake but for what it cannot see."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from detzoo.inference.tiles import Tile, merge_tiles, place_tiles
from detzoo.ops.boxes import box_area, pairwise_iou
from detzoo.structures import BitmapMasks, Detections

SIZE = (2000, 3000)
TILE = 640


def seen(boxes: Tensor, labels: Tensor, tile: Tile, masks: Tensor | None = None) -> Detections:
    """What a perfect detector finds in a tile: all that is in it, cut at its edges."""
    left, top, right, bottom = tile
    low = torch.maximum(boxes[:, :2], torch.tensor([left, top]))
    high = torch.minimum(boxes[:, 2:], torch.tensor([right, bottom]))
    there = (high > low).all(1)
    shown = torch.cat([low, high], 1)[there] - torch.tensor([left, top, left, top])
    scores = 0.5 + 0.4 * box_area(shown) / box_area(boxes[there])  # cut ones are less sure
    own = None if masks is None else BitmapMasks(masks[there, top:bottom, left:right])
    return Detections(shown, scores, labels[there], own)


def merged(
    boxes: Tensor,
    labels: Tensor,
    *,
    overlap: float = 0.2,
    with_overview: bool = True,
    size: tuple[int, int] = SIZE,
    tile: int = TILE,
    masks: Tensor | None = None,
) -> Detections:
    tiles = place_tiles(size, tile, overlap)
    found = [seen(boxes, labels, one, masks) for one in tiles]
    whole = seen(boxes, labels, (0, 0, size[1], size[0]), masks)
    return merge_tiles(found, tiles, size, whole if with_overview else None)


def assert_each_once(found: Detections, boxes: Tensor, labels: Tensor) -> None:
    assert len(found) == len(boxes)
    iou = pairwise_iou(found.boxes, boxes) * (found.labels[:, None] == labels)
    assert iou.max(1).values.min() > 0.999
    assert sorted(iou.argmax(1).tolist()) == list(range(len(boxes)))


@pytest.mark.parametrize("overlap", [0.0, 0.2, 0.5])
@pytest.mark.parametrize("with_overview", [False, True])
@pytest.mark.parametrize("side", [8, 30, 100, 300, 500, 640, 900, 1500])
def test_one_object_anywhere(side: int, with_overview: bool, overlap: float) -> None:
    rng = np.random.default_rng(side)
    for _ in range(6):
        height = side * rng.uniform(0.4, 1)
        x, y = rng.uniform(0, SIZE[1] - side), rng.uniform(0, SIZE[0] - height)
        boxes = torch.tensor([[x, y, x + side, y + height]], dtype=torch.float32)
        labels = torch.tensor([1])
        found = merged(boxes, labels, overlap=overlap, with_overview=with_overview)
        assert_each_once(found, boxes, labels)


@pytest.mark.parametrize("seed", range(5))
def test_crowded_scenes(seed: int) -> None:
    """Objects of 10 to 1500 pixels, of two classes, that do not overlap."""
    rng = np.random.default_rng(seed)
    rows: list[Tensor] = []
    for side in [1500, 700, 500, 300, 300, 200, *[100] * 10, *[30] * 40, *[12] * 40]:
        for _ in range(50):
            width, height = side * rng.uniform(0.5, 1, 2)
            x, y = rng.uniform(0, SIZE[1] - width), rng.uniform(0, SIZE[0] - height)
            box = torch.tensor([[x, y, x + width, y + height]], dtype=torch.float32)
            if not rows or pairwise_iou(box, torch.cat(rows)).max() == 0:
                rows.append(box)
                break
    boxes = torch.cat(rows)
    labels = torch.from_numpy(rng.integers(0, 2, len(boxes)))
    assert len(boxes) > 80
    assert_each_once(merged(boxes, labels), boxes, labels)


def test_masks_are_joined() -> None:
    y, x = torch.meshgrid(torch.arange(120), torch.arange(200), indexing="ij")
    masks = ((x - 90) / 80).square() + ((y - 60) / 40).square() <= 1
    boxes, labels = BitmapMasks(masks[None]).boxes(), torch.tensor([0])
    for with_overview in (False, True):
        found = merged(
            boxes,
            labels,
            size=(120, 200),
            tile=64,
            with_overview=with_overview,
            masks=masks[None].byte(),
        )
        assert_each_once(found, boxes, labels)
        assert isinstance(found.masks, BitmapMasks)
        assert torch.equal(found.masks.bitmaps[0].bool(), masks)


def test_neighbors_at_a_seam_stay_two() -> None:
    """One ends where a tile does and the other begins where its neighbor does."""
    tiles = place_tiles((64, 114), 64, 14 / 64)
    assert tiles == [(0, 0, 64, 64), (50, 0, 114, 64)]
    boxes = torch.tensor([[10.0, 5.0, 64.0, 30.0], [50.0, 34.0, 100.0, 60.0]])
    labels = torch.tensor([0, 0])
    found = merged(boxes, labels, size=(64, 114), tile=64, overlap=14 / 64)
    assert_each_once(found, boxes, labels)


def test_of_the_whole_image_only_what_no_tile_sees_whole_counts() -> None:
    tiles = place_tiles((64, 114), 64, 14 / 64)
    nothing = Detections.empty()
    overview = Detections(
        torch.tensor([[5.0, 5.0, 30.0, 30.0], [5.0, 5.0, 109.0, 40.0]]),
        torch.tensor([0.9, 0.8]),
        torch.tensor([0, 1]),
    )
    found = merge_tiles([nothing, nothing], tiles, (64, 114), overview)
    assert found.boxes.tolist() == [[5.0, 5.0, 109.0, 40.0]]
