from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from detzoo.config import ConfigError
from detzoo.data.transforms import CenterPad, Pad, RandomCenterCropPad
from tests.data.transforms.samples import check_consistent, sample

FILL = (1.5, 2.5, 3.5)


@pytest.mark.parametrize("seed", range(10))
def test_random_windows(seed: int) -> None:
    before = sample(ignored=())
    transform = RandomCenterCropPad(size=(41, 31), fill=FILL)
    after = transform(before, np.random.default_rng(seed))
    check_consistent(before, after)
    height, width = after.image.shape[:2]
    assert (height, width) in {(int(41 * r), int(31 * r)) for r in transform.ratios}
    assert len(after.targets) > 0
    # What it shows of the image lies where the offset says, the color around it.
    x, y = (int(v) for v in after.info.offset)
    y0, x0, y1, x1 = max(y, 0), max(x, 0), min(y + 40, height), min(x + 60, width)
    shown = before.image[y0 - y : y1 - y, x0 - x : x1 - x]
    assert np.array_equal(after.image[y0:y1, x0:x1], shown.astype(np.float32))
    around = np.ones((height, width), bool)
    around[y0:y1, x0:x1] = False
    assert (after.image[around] == FILL).all()


def test_windows_of_an_image_without_objects() -> None:
    before = sample(boxes=(), ignored=(), masks="none")
    transform = RandomCenterCropPad(size=(20, 20), ratios=(1.0,))
    after = transform(before, np.random.default_rng(0))
    assert len(after.targets) == 0
    assert after.image.shape == (20, 20, 3)
    assert after.image.dtype == np.uint8  # black has whole values
    with pytest.raises(ConfigError, match="ratios"):
        RandomCenterCropPad(size=(20, 20), ratios=())


@pytest.mark.parametrize(
    "box", [(-40, 20, 20, 60), (0, 0, 0, 40), (50, 20, 70, 30), (-9, -9, 9, 9)]
)
def test_a_centre_that_no_window_shows(box: tuple[int, int, int, int]) -> None:
    """Outside the image, or on its edge."""
    before = sample(boxes=(box,), ignored=(), masks="none")
    transform = RandomCenterCropPad(size=(41, 31), fill=FILL)
    assert transform(before, np.random.default_rng(0)) is before
    # Others are found as if it were not there.
    both = sample(boxes=(box, (10, 10, 30, 30)), ignored=(), masks="none")
    after = transform(both, np.random.default_rng(0))
    assert len(after.targets) == 1


def test_a_centre_that_windows_are_too_small_to_show() -> None:
    before = sample(boxes=((0, 0, 3, 3),), ignored=(), masks="none")
    transform = RandomCenterCropPad(size=(4, 4), ratios=(1.0,), border=16)
    assert transform(before, np.random.default_rng(0)) is before


def test_the_border_is_halved_in_small_images() -> None:
    transform = RandomCenterCropPad(size=(20, 20), border=128)
    assert [transform._border(side) for side in (1000, 256, 100, 64, 63)] == [128, 64, 32, 16, 16]


@pytest.mark.parametrize(("size", "padded"), [((40, 60), (64, 64)), ((64, 31), (96, 32))])
def test_padding_for_tests(size: tuple[int, int], padded: tuple[int, int]) -> None:
    before = sample(*size, boxes=((4, 6, 20, 16),), ignored=())
    after = CenterPad(bits=31, extra=1)(before, np.random.default_rng(0))
    assert after.image.shape[:2] == padded
    check_consistent(before, after)
    left, top = ((p - s) // 2 for p, s in zip(padded[::-1], size[::-1]))
    assert abs(after.info.offset[0] - left) <= 1
    assert abs(after.info.offset[1] - top) <= 1
    back = after.info.to_original(after.targets.boxes)
    torch.testing.assert_close(back, before.targets.boxes)


@pytest.mark.parametrize("pad", [CenterPad(bits=31, extra=1), CenterPad(bits=15)])
def test_the_largest_image_inside(pad: CenterPad) -> None:
    height, width = pad.largest_inside((64, 100))
    rng = np.random.default_rng(0)
    before = sample(height, width, boxes=(), ignored=())
    inside = pad(before, rng).info.size
    assert inside[0] <= 64
    assert inside[1] <= 100
    larger = pad(sample(height + 1, width + 1, boxes=(), ignored=()), rng).info.size
    assert larger[0] > 64
    assert larger[1] > 100


def test_padding_to_a_square() -> None:
    after = Pad(square=True)(sample(), np.random.default_rng(0))
    assert after.info.padded_size == (60, 60)
    assert after.info.size == (40, 60)
    assert dataclasses.replace(after.info, padded_size=(40, 60)) == sample().info
