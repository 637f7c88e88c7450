"""Several images in one, and what YOLOX does to images besides."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
import torch

from detzoo.config import ConfigError
from detzoo.data.sample import Sample, apply
from detzoo.data.transforms import MixUp, Mosaic, RandomAffine, RandomHSV
from detzoo.structures import ImageInfo, Targets
from tests.data.transforms.samples import sample

SIZE = (40, 60)
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0))


def colored(number: int, size: tuple[int, int] = SIZE) -> Sample:
    """An image of one color, with an object labelled by its number that fills it."""
    height, width = size
    image = np.full((height, width, 3), COLOURS[number], np.uint8)
    boxes = torch.tensor([[0.0, 0.0, width, height]])
    targets = Targets.of(boxes, torch.tensor([number]))
    return Sample(image, targets, ImageInfo.of(size, id=number))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("seed", range(5))
def test_mosaic(seed: int) -> None:
    others = iter([colored(1), colored(2, (80, 120)), colored(3, (20, 60))])
    mosaic = Mosaic(size=SIZE, fill=9).mix(colored(0), rng(seed), lambda _: next(others))
    assert mosaic.image.shape == (80, 120, 3)
    assert mosaic.info == ImageInfo.of((80, 120), id=0)
    assert mosaic.targets.labels.tolist() == [0, 1, 2, 3]
    boxes = mosaic.targets.boxes.long().tolist()
    # All meet in one point: top left, top right, bottom left, bottom right.
    x, y = boxes[0][2:]
    assert 30 <= x <= 90
    assert 20 <= y <= 60
    assert [boxes[1][0], boxes[1][3]] == [x, y]
    assert [boxes[2][2], boxes[2][1]] == [x, y]
    assert boxes[3][:2] == [x, y]
    # Each object is where its color is, and nothing else is there.
    covered = np.zeros((80, 120), bool)
    for (x1, y1, x2, y2), label in zip(boxes, range(4)):
        assert (mosaic.image[y1:y2, x1:x2] == COLOURS[label]).all()
        covered[y1:y2, x1:x2] = True
    assert (mosaic.image[~covered] == 9).all()


def test_mixup() -> None:
    transform = MixUp(size=SIZE, scale_range=(1.0, 1.0))
    mixed = transform.mix(colored(0), rng(), lambda _: colored(1))
    assert (mixed.image == (127, 127, 0)).all()
    assert mixed.targets.labels.tolist() == [0, 1]
    assert mixed.targets.boxes.tolist() == [[0, 0, 60, 40]] * 2
    assert mixed.info.size == SIZE


@pytest.mark.parametrize("seed", range(4))
def test_mixup_of_another_scale(seed: int) -> None:
    small = MixUp(size=SIZE, scale_range=(0.5, 0.5)).mix(
        colored(0), rng(seed), lambda _: colored(1)
    )
    # Half as large, at the top left; the rest of the window is black.
    assert small.targets.boxes[1].tolist() == [0, 0, 30, 20]
    assert (small.image[:20, :30] == (127, 127, 0)).all()
    assert (small.image[20:, 30:] == (127, 0, 0)).all()
    large = MixUp(size=SIZE, scale_range=(2.0, 2.0)).mix(
        colored(0), rng(seed), lambda _: colored(1)
    )
    assert large.targets.boxes[1].tolist() == [0, 0, 60, 40]


def test_mixup_looks_for_an_object() -> None:
    empty = dataclasses.replace(colored(1), targets=colored(1).targets[:0])
    draws = iter([empty, empty, colored(2)])
    mixed = MixUp(size=SIZE).mix(colored(0), rng(), lambda _: next(draws))
    assert 2 in mixed.targets.labels.tolist()
    alone = MixUp(size=SIZE).mix(colored(0), rng(), lambda _: empty)
    assert (alone.image == COLOURS[0]).all()
    assert alone.targets.labels.tolist() == [0]


def test_without_a_data_set_the_image_is_mixed_with_itself() -> None:
    mosaic = apply((Mosaic(size=SIZE),), colored(2), rng())
    assert set(mosaic.targets.labels.tolist()) == {2}
    assert torch.equal(Mosaic(size=SIZE)(colored(2), rng()).targets.boxes, mosaic.targets.boxes)


def test_affine_moves_boxes_with_the_pixels() -> None:
    before = sample(masks="none", ignored=())
    image = np.zeros_like(before.image)
    for number, (x1, y1, x2, y2) in enumerate(before.targets.boxes.int().tolist()):
        image[y1:y2, x1:x2, number] = 255
    before = dataclasses.replace(before, image=image)
    for seed in range(8):
        after = RandomAffine(scale_range=(0.8, 1.2), border=(10, 10), fill=0)(before, rng(seed))
        assert after.image.shape == (60, 80, 3)
        for box, label in zip(after.targets.boxes, after.targets.labels.tolist()):
            rows, columns = np.nonzero(after.image[..., label] > 127)
            seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert np.abs(box.numpy() - np.array(seen)).max() <= 1.6


def test_affine_that_changes_nothing_and_one_that_leaves_nothing() -> None:
    still = RandomAffine(
        max_degrees=0.0, scale_range=(1.0, 1.0), max_shear_degrees=0.0, max_shift=0.0
    )
    before = sample(masks="none")
    after = still(before, rng())
    assert np.array_equal(after.image, before.image)
    torch.testing.assert_close(after.targets.boxes, before.targets.boxes)
    # Sides at the top and left alone are cut off.
    cut = dataclasses.replace(still, border=(-14, -24))(before, rng())
    assert cut.image.shape == (12, 12, 3)
    assert cut.targets.boxes.tolist() == [[4, 6, 12, 12]]
    with pytest.raises(ConfigError, match="scale_range"):
        RandomAffine(scale_range=(0.0, 1.0))


def test_hsv() -> None:
    before = sample()
    same = RandomHSV(hue=0, saturation=0, value=0)(before, rng())
    assert np.abs(same.image.astype(int) - before.image).max() <= 6  # there and back, rounded
    for seed in range(6):
        after = RandomHSV(hue=0, saturation=0, value=30)(before, rng(seed))
        old, new = (
            cv2.cvtColor(s.image, cv2.COLOR_BGR2HSV)[..., 2].astype(int) for s in (before, after)
        )
        change = (new - old)[(old > 40) & (old < 210)]
        assert np.abs(change - np.median(change)).max() <= 2
        assert np.abs(change).max() <= 31
        assert after.image.dtype == np.uint8
