"""Cells and their objects."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from detzoo.heads.mask_grid.targets import claims, learned_masks, owners, shrink

SIZE = (64, 64)


def bitmap(top: int, left: int, bottom: int, right: int) -> torch.Tensor:
    mask = torch.zeros(SIZE, dtype=torch.uint8)
    mask[top:bottom, left:right] = 1
    return mask


def owners_of(boxes: list[list[float]], masks: list[torch.Tensor], **changes: object) -> list:
    settings = {"grid": 4, "scale_range": (1, 100), "center_fraction": 0.2} | changes
    bitmaps = torch.stack(masks) if masks else torch.zeros((0, *SIZE), dtype=torch.uint8)
    claimed = claims(torch.tensor(boxes).reshape(-1, 4), bitmaps, SIZE, **settings)
    return owners(claimed).tolist()


def test_the_middle_of_the_mask_decides() -> None:
    # The box reaches from 0 to 40, but the mask fills its right part: around column 35.5.
    grid = owners_of([[0.0, 0.0, 40.0, 20.0]], [bitmap(0, 32, 20, 40)])
    # Rows 7.5..11.5 are in the first of four rows of 16; columns 31.5..39.5 touch 1 and 2.
    assert grid == [[-1, 0, 0, -1], [-1] * 4, [-1] * 4, [-1] * 4]


def test_at_most_the_neighboring_cells() -> None:
    grid = owners_of([[0.0, 0.0, 64.0, 64.0]], [bitmap(0, 0, 64, 64)], grid=16, center_fraction=1.0)
    owned = torch.tensor(grid) == 0
    assert owned.sum() == 9
    assert owned[6:9, 6:9].all()  # the mean row of 64 is 31.5, in the eighth of sixteen


def test_later_objects_take_cells_over() -> None:
    box, mask = [0.0, 0.0, 16.0, 16.0], bitmap(0, 0, 16, 16)
    assert owners_of([box, box], [mask, mask])[0][0] == 1


def test_size_and_emptiness() -> None:
    box, mask = [0.0, 0.0, 16.0, 16.0], bitmap(0, 0, 16, 16)
    assert owners_of([box], [mask], scale_range=(16, 16))[0][0] == 0
    nothing = [[-1] * 4] * 4
    assert owners_of([box], [mask], scale_range=(17, 99)) == nothing
    assert owners_of([box], [bitmap(0, 0, 0, 0)]) == nothing
    assert owners_of([], []) == nothing


def test_shrunken_masks_are_opencvs() -> None:
    """The published models learned masks that OpenCV has scaled."""
    rng = np.random.default_rng(0)
    masks = (rng.random((5, 64, 96)) > 0.5).astype(np.uint8)
    for stride in (2, 4, 8, 16):
        size = (64 // stride, 96 // stride)
        wanted = [
            # Halves are averaged over all four pixels, the rest interpolated: the same pixels.
            cv2.resize(mask, size[::-1], interpolation=cv2.INTER_LINEAR)
            for mask in masks
        ]
        found = shrink(torch.from_numpy(masks), stride, size)
        assert torch.equal(found, torch.from_numpy(np.stack(wanted)).float())


def test_shrinking_fills_up_with_nothing() -> None:
    found = shrink(torch.ones(1, 6, 10, dtype=torch.uint8), 4, (2, 3))
    # The last cells' centers are at row 6 and column 10, on the border of the mask.
    assert found.tolist() == [[[1, 1, 1], [1, 1, 0]]]
    assert shrink(torch.ones(0, 6, 10), 4, (2, 3)).shape == (0, 2, 3)


def test_learned_masks() -> None:
    first = [torch.tensor([[[False, True], [True, False]]] * 2), torch.zeros(2, 1, 1) > 0]
    second = [torch.zeros(0, 2, 2) > 0, torch.zeros(0, 1, 1) > 0]
    found = learned_masks([first, second])
    (objects, cells), nothing = found[0]
    assert objects.tolist() == [0, 0, 1, 1]
    assert cells.tolist() == [1, 2, 1, 2]
    assert [len(part) for pair in (nothing, *found[1]) for part in pair] == [0] * 6
