"""Masks over the whole input, brought to the size of the image file."""

from __future__ import annotations

import torch

from detzoo.structures import BitmapMasks, Detections, ImageInfo, ImageMasks


def interpolate(values: list[list[float]], y: float, x: float) -> float:
    """Between the centers of cells; beyond the outermost ones nothing changes."""
    height, width = len(values), len(values[0])
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = min(int(y), height - 2), min(int(x), width - 2)
    return sum(
        (1 - abs(y - row)) * (1 - abs(x - column)) * values[row][column]
        for row in (top, top + 1)
        for column in (left, left + 1)
    )


def stretch(values: list[list[float]], size: tuple[int, int]) -> list[list[float]]:
    height, width = len(values), len(values[0])
    return [
        [
            interpolate(
                values, (y + 0.5) * height / size[0] - 0.5, (x + 0.5) * width / size[1] - 0.5
            )
            for x in range(size[1])
        ]
        for y in range(size[0])
    ]


def masks(count: int) -> ImageMasks:
    generator = torch.Generator().manual_seed(0)
    return ImageMasks(torch.rand((count, 4, 6), generator=generator), size=(16, 24))


def test_at_the_size_of_the_file() -> None:
    """Scaled to the input, cut to the part that shows the image, scaled, compared."""
    info = ImageInfo(
        id=0, path="", original_size=(7, 10), size=(14, 20), padded_size=(16, 24), scale=(2.0, 2.0)
    )
    found = masks(10).to_original(info)
    assert found.bitmaps.shape == (10, 7, 10)
    for grid, bitmap in zip(masks(10).probabilities, found.bitmaps):
        whole = stretch(grid.tolist(), (16, 24))
        shown = [row[:20] for row in whole[:14]]
        wanted = torch.tensor(stretch(shown, (7, 10)))
        certain = (wanted - 0.5).abs() > 1e-5
        assert torch.equal((wanted > 0.5)[certain], bitmap.bool()[certain])


def test_flipped_and_moved_inputs() -> None:
    """An input that shows the image mirrored, or with a margin, says the same about it."""
    plain = ImageInfo.of((16, 24))
    given = masks(3)
    wanted = given.to_original(plain).bitmaps
    mirrored = ImageMasks(given.probabilities.flip(2), given.size)
    info = ImageInfo(0, "", (16, 24), (16, 24), (16, 24), flip="horizontal")
    assert torch.equal(mirrored.to_original(info).bitmaps, wanted)
    # A margin of one cell at the left and at the top; the image ends within the input.
    margin = torch.nn.functional.pad(given.probabilities, (1, 0, 1, 0), mode="replicate")
    info = ImageInfo(0, "", (16, 24), (20, 28), (20, 28), offset=(4.0, 4.0))
    moved = ImageMasks(margin, (20, 28)).to_original(info).bitmaps
    assert torch.equal(moved, wanted)


def test_detections_take_the_boxes_around_their_masks() -> None:
    probabilities = torch.zeros(2, 4, 6)
    probabilities[0, 1:3, 2:5] = 1.0
    found = Detections(
        torch.zeros(2, 4),
        torch.tensor([0.9, 0.8]),
        torch.tensor([0, 1]),
        ImageMasks(probabilities, (16, 24)),
    )
    original = found.to_original(ImageInfo.of((16, 24)))
    assert isinstance(original.masks, BitmapMasks)
    assert original.boxes.tolist() == [[8.0, 4.0, 20.0, 12.0], [0.0, 0.0, 0.0, 0.0]]
    assert original.masks.bitmaps[0].sum() == 12 * 8 - 4  # corners are rounded


def test_none() -> None:
    none = masks(3)[torch.zeros(0, dtype=torch.long)]
    assert len(none) == 0
    assert none.to_original(ImageInfo.of((16, 24))).bitmaps.shape == (0, 16, 24)
    assert none.at_input((10, 12)).bitmaps.shape == (0, 10, 12)
    assert none.to("cpu").size == (16, 24)


def test_logits_and_how_sure_they_are() -> None:
    logits = torch.full((3, 4, 6), -3.0)
    logits[0, :2, :3], logits[1] = 2.0, 1.0
    found = ImageMasks(logits, size=(4, 6), threshold=0.0)
    boxes, means = found.boxes_and_means((3, 5))
    assert boxes.tolist() == [[0, 0, 3, 2], [0, 0, 5, 3], [0, 0, 0, 0]]
    torch.testing.assert_close(boxes, found.boxes((3, 5)))
    sure = torch.tensor([2.0, 1.0]).sigmoid()
    torch.testing.assert_close(means, torch.cat([sure, torch.zeros(1)]))
    assert found.at_input((3, 5)).bitmaps.sum((1, 2)).tolist() == [6, 15, 0]
