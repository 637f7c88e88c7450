from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pycocotools import mask as official
from torch import Tensor

from detzoo.ops.masks import paste_masks
from detzoo.structures import BitmapMasks, PolygonMasks, RoIMasks
from detzoo.structures.masks import rasterize
from detzoo.structures.segmentation import decode_rle

# pycocotools has not caught up with numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TRIANGLE = np.array([[2.0, 1.0], [17.3, 4.0], [6.0, 13.5]])
SQUARE = np.array([[1.0, 2.0], [5.0, 2.0], [5.0, 6.0], [1.0, 6.0]])
DIRECTIONS = ("horizontal", "vertical", "diagonal")


def random_bitmaps(count: int = 3, height: int = 14, width: int = 20) -> BitmapMasks:
    generator = torch.Generator().manual_seed(0)
    bitmaps = torch.randint(0, 2, (count, height, width), generator=generator, dtype=torch.uint8)
    return BitmapMasks(bitmaps)


def polygons() -> PolygonMasks:
    return PolygonMasks(((TRIANGLE,), (SQUARE, SQUARE + [8.0, 3.0]), ()), (14, 20))


def test_rasterize_equals_the_coco_tools() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        size = tuple(int(side) for side in rng.integers(3, 60, 2))
        # Some corners lie outside the image, and halves are where rounding shows.
        parts = [
            np.round(rng.uniform(-10, 70, (rng.integers(3, 8), 2)), 1)
            for _ in range(rng.integers(1, 4))
        ]
        codes = official.frPyObjects([part.reshape(-1).tolist() for part in parts], *size)
        expected = official.decode(official.merge(codes))
        np.testing.assert_array_equal(rasterize(parts, size), expected)
    assert rasterize([], (4, 6)).shape == (4, 6)


def test_decode_rle_equals_the_coco_tools() -> None:
    rng = np.random.default_rng(0)
    for k in range(100):
        height, width = (int(side) for side in rng.integers(1, 90, 2))
        mask = (rng.random((height, width)) < rng.random()).astype(np.uint8)
        if k % 2:  # long runs, whose lengths take several groups
            mask = cv2.resize(mask[:3, :3], (width, height), interpolation=cv2.INTER_NEAREST)
        code = official.encode(np.asfortranarray(mask))["counts"]
        np.testing.assert_array_equal(decode_rle(code, (height, width)), mask)
    full = np.asfortranarray(np.ones((300, 400), np.uint8))
    np.testing.assert_array_equal(decode_rle(official.encode(full)["counts"], (300, 400)), full)
    assert decode_rle(b"", (2, 3)).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_bitmaps_resize_with_opencv() -> None:
    masks = random_bitmaps()
    resized = masks.resize((9, 31))
    for before, after in zip(masks.bitmaps.numpy(), resized.bitmaps.numpy()):
        expected = cv2.resize(before, (31, 9), interpolation=cv2.INTER_NEAREST)
        np.testing.assert_array_equal(after, expected)
    assert random_bitmaps(0).resize((9, 31)).bitmaps.shape == (0, 9, 31)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_flips(direction: str) -> None:
    masks = random_bitmaps()
    axes = {"horizontal": [1], "vertical": [0], "diagonal": [0, 1]}[direction]
    for before, after in zip(masks.bitmaps.numpy(), masks.flip(direction).bitmaps.numpy()):  # type: ignore[arg-type]
        np.testing.assert_array_equal(after, np.flip(before, axes))
    # A rectangle on whole pixels covers the same pixels as polygon and as bitmap.
    square = PolygonMasks(((SQUARE,),), (14, 20))
    flipped = square.flip(direction).to_bitmaps()  # type: ignore[arg-type]
    expected = square.to_bitmaps().flip(direction)  # type: ignore[arg-type]
    assert torch.equal(flipped.bitmaps, expected.bitmaps)
    twice = square.flip(direction).flip(direction)  # type: ignore[arg-type]
    np.testing.assert_allclose(twice.polygons[0][0], SQUARE)


@pytest.mark.parametrize(
    ("left", "top", "height", "width"),
    [
        (3, 2, 5, 7),
        (-4, -3, 25, 30),
        (15, 10, 10, 10),
        (-9, 4, 5, 5),
        (40, 40, 4, 4),
        (0, 0, 14, 20),
    ],
)
def test_crop_moves_a_window(left: int, top: int, height: int, width: int) -> None:
    masks = random_bitmaps()
    cropped = masks.crop(left, top, (height, width)).bitmaps
    assert cropped.shape == (3, height, width)
    for y in range(height):
        for x in range(width):
            inside = 0 <= y + top < 14 and 0 <= x + left < 20
            expected = masks.bitmaps[:, y + top, x + left] if inside else torch.zeros(3)
            assert cropped[:, y, x].tolist() == expected.tolist()
    square = PolygonMasks(((SQUARE,),), (14, 20))
    moved = square.crop(left, top, (height, width)).to_bitmaps().bitmaps
    expected = square.to_bitmaps().crop(left, top, (height, width)).bitmaps
    assert torch.equal(moved, expected)


def test_polygons_resize_and_index() -> None:
    masks = polygons()
    resized = masks.resize((28, 10))
    np.testing.assert_allclose(resized.polygons[0][0], TRIANGLE * [0.5, 2.0])
    assert resized.size == (28, 10)
    picked = masks[torch.tensor([False, True, True])]
    assert [len(parts) for parts in picked.polygons] == [2, 0]
    assert [len(parts) for parts in masks[torch.tensor([2, 0])].polygons] == [0, 1]
    assert len(masks[:1]) == 1


def test_tight_boxes() -> None:
    bitmaps = torch.zeros((3, 14, 20), dtype=torch.uint8)
    bitmaps[0, 3:7, 5:6] = 1
    bitmaps[1, 0, 19] = 1
    assert BitmapMasks(bitmaps).boxes().tolist() == [[5, 3, 6, 7], [19, 0, 20, 1], [0, 0, 0, 0]]
    assert random_bitmaps(0).boxes().shape == (0, 4)
    outside = PolygonMasks(((SQUARE - 3,),), (14, 20))
    assert outside.boxes().tolist() == [[0, 0, 2, 3]]
    boxes = polygons().boxes()
    torch.testing.assert_close(boxes[0], torch.tensor([2.0, 1.0, 17.3, 13.5]))
    assert boxes[1:].tolist() == [[1, 2, 13, 9], [0, 0, 0, 0]]


def slow_crop(mask: np.ndarray, box: list[float], size: int) -> np.ndarray:
    """Each cell is the mean of the mask at evenly spread points, read bilinearly."""
    x1, y1, x2, y2 = box
    step_x, step_y = (x2 - x1) / size, (y2 - y1) / size
    points_x, points_y = max(int(np.ceil(step_x)), 1), max(int(np.ceil(step_y)), 1)
    out = np.zeros((size, size))
    for row in range(size):
        for column in range(size):
            values = [
                slow_bilinear(
                    mask,
                    x1 + (column + (i + 0.5) / points_x) * step_x - 0.5,
                    y1 + (row + (j + 0.5) / points_y) * step_y - 0.5,
                )
                for i in range(points_x)
                for j in range(points_y)
            ]
            out[row, column] = np.mean(values)
    return out


def slow_bilinear(mask: np.ndarray, x: float, y: float) -> float:
    height, width = mask.shape
    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    x0, y0 = int(x), int(y)
    x1, y1 = min(x0 + 1, width - 1), min(y0 + 1, height - 1)
    top = mask[y0, x0] * (x0 + 1 - x) + mask[y0, x1] * (x - x0)
    bottom = mask[y1, x0] * (x0 + 1 - x) + mask[y1, x1] * (x - x0)
    return float(top * (y0 + 1 - y) + bottom * (y - y0))


def test_roi_targets_of_bitmaps() -> None:
    masks = random_bitmaps()
    boxes = torch.tensor([[1.3, 2.1, 12.7, 9.9], [0, 0, 20, 14], [5.2, 5.1, 6.0, 6.3]])
    index = torch.tensor([2, 0, 2])
    targets = masks.crop_and_resize(boxes, index, 5)
    assert targets.shape == (3, 5, 5)
    for target, box, i in zip(targets.numpy(), boxes.tolist(), index.tolist()):
        expected = slow_crop(masks.bitmaps[i].numpy(), box, 5)
        clear = np.abs(expected - 0.5) > 1e-4
        assert clear.mean() > 0.7
        np.testing.assert_array_equal(target[clear], (expected >= 0.5)[clear])
    assert masks.crop_and_resize(boxes[:0], index[:0], 5).shape == (0, 5, 5)


def test_roi_targets_of_polygons() -> None:
    masks = polygons()
    boxes = torch.tensor([[2.0, 1.0, 18.0, 13.0], [0.0, 0.0, 20.0, 14.0], [1.0, 2.0, 5.0, 6.0]])
    targets = masks.crop_and_resize(boxes, torch.tensor([0, 2, 1]), 8)
    expected = rasterize([(TRIANGLE - [2, 1]) * [8 / 16, 8 / 12]], (8, 8))
    np.testing.assert_array_equal(targets[0].numpy(), expected)
    assert targets[1].sum() == 0  # an object without polygons
    assert targets[2].min() == 1  # exactly its square
    thin = masks.crop_and_resize(torch.tensor([[3.0, 3.0, 3.0, 3.0]]), torch.tensor([1]), 8)
    assert thin.shape == (1, 8, 8)
    assert masks.crop_and_resize(boxes[:0], torch.tensor([], dtype=torch.int64), 8).shape == (
        0,
        8,
        8,
    )


def slow_paste(grid: Tensor, box: Tensor, size: tuple[int, int]) -> Tensor:
    """The grid sampled at every pixel center of the image, zero outside the grid."""
    rows, columns = (torch.arange(side, dtype=torch.float64) + 0.5 for side in size)
    x1, y1, x2, y2 = box.double()
    y = ((rows - y1) / (y2 - y1) * 2 - 1)[:, None].expand(size)
    x = ((columns - x1) / (x2 - x1) * 2 - 1)[None].expand(size)
    where = torch.stack([x, y], -1)[None]
    return F.grid_sample(grid.double()[None, None], where, align_corners=False)[0, 0]


def test_pasting_equals_sampling_at_every_pixel() -> None:
    generator = torch.Generator().manual_seed(0)
    grids = torch.rand((7, 9, 9), generator=generator)
    boxes = torch.tensor(
        [
            [3.2, 4.1, 30.7, 28.9],
            [0.0, 0.0, 50.0, 40.0],
            [-12.5, -7.0, 20.3, 18.4],
            [35.5, 20.0, 90.0, 77.0],
            [10.2, 10.2, 11.1, 10.9],
            [60.0, 50.0, 70.0, 60.0],
            [4.0, 4.0, 44.0, 5.5],
        ]
    )
    pasted = paste_masks(grids, boxes, (40, 50), 0.5)
    assert pasted.shape == (7, 40, 50)
    assert pasted.dtype == torch.uint8
    for grid, box, mask in zip(grids, boxes, pasted):
        values = slow_paste(grid, box, (40, 50))
        clear = (values - 0.5).abs() > 1e-5
        assert torch.equal(mask[clear].bool(), (values >= 0.5)[clear])
    assert pasted[5].sum() == 0
    assert pasted[:4].flatten(1).any(1).all()


def test_a_box_without_width_shows_its_middle_to_both_sides() -> None:
    grid = torch.zeros(1, 4, 4)
    grid[0, :, 1:3] = 1
    (pasted,) = paste_masks(grid, torch.tensor([[3.0, 1.0, 3.0, 5.0]]), (6, 6), 0.5)
    assert [row.tolist() for row in pasted.nonzero()] == [
        [y, x] for y in range(1, 5) for x in (2, 3)
    ]


def test_pasting_nothing_and_empty_boxes() -> None:
    assert paste_masks(torch.zeros((0, 9, 9)), torch.zeros((0, 4)), (4, 5), 0.5).shape == (0, 4, 5)
    point = torch.tensor([[3.0, 3.0, 3.0, 3.0], [2.0, 1.0, 2.0, 4.0]])
    assert paste_masks(torch.ones((2, 9, 9)), point, (6, 6), 0.5).shape == (2, 6, 6)
    masks = RoIMasks(torch.ones((2, 9, 9)))
    assert len(masks[torch.tensor([True, False])]) == 1
    assert masks.paste(torch.tensor([[1.0, 1.0, 4.0, 4.0]] * 2), (6, 6)).bitmaps.sum() == 2 * 9
