from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from detzoo.config import ConfigError
from detzoo.data.transforms import Rescale, Resize
from tests.data.transforms.samples import check_consistent, sample

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("old", "size", "new"),
    [
        # (height, width) by hand: the factor is the smaller one of long and short side.
        ((480, 640), (1333, 800), (800, 1067)),  # 800 / 480 = 1.6667; 1066.67 rounds up
        ((427, 640), (1333, 800), (800, 1199)),  # 1.8735; 1199.06
        ((640, 427), (1333, 800), (1199, 800)),
        ((300, 900), (1333, 800), (444, 1333)),  # 1333 / 900 = 1.4811; 444.33
        ((640, 427), (800, 1333), (1199, 800)),  # the same, whichever way it is written
        ((1, 5000), (1333, 800), (1, 1333)),  # never less than a pixel
    ],
)
def test_keeps_the_ratio(old: tuple[int, int], size: tuple[int, int], new: tuple[int, int]) -> None:
    before = sample(*old, boxes=(), ignored=())
    after = Resize(sizes=(size,))(before, RNG)
    assert after.info.size == after.info.padded_size == new
    expected = cv2.resize(before.image, new[::-1], interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(after.image, expected)
    assert after.info.scale == (new[1] / old[1], new[0] / old[0])


@pytest.mark.parametrize("masks", ["none", "bitmap", "polygon"])
def test_everything_is_scaled_alike(masks: str) -> None:
    before = sample(masks=masks)
    after = Resize(sizes=((90, 50),), keep_ratio=False)(before, RNG)
    assert after.image.shape == (50, 90, 3)
    torch.testing.assert_close(
        after.targets.boxes, torch.tensor([[6, 7.5, 30, 20], [45, 12.5, 82.5, 47.5]])
    )
    torch.testing.assert_close(after.targets.ignored_boxes, torch.tensor([[15, 25, 37.5, 48.75]]))
    check_consistent(before, after)
    twice = Resize(sizes=((33, 77),))(after, RNG)
    check_consistent(before, twice)
    assert twice.info.scale == pytest.approx((twice.image.shape[1] / 60, twice.image.shape[0] / 40))


def test_factors_of_the_size() -> None:
    """Of 40 x 60: sides are cut to whole pixels, and the ratio is kept."""
    before = sample()
    after = Rescale(factor=0.33)(before, RNG)
    # 13 x 19 (height x width): the ratio allows 13 x 19.5, or 12.67 x 19.
    assert after.info.size == (13, 19)
    check_consistent(before, after)
    assert Rescale(factor=2.0)(before, RNG).info.size == (80, 120)


def test_boxes_are_clipped_to_the_image() -> None:
    before = sample(boxes=((-8, -4, 70, 20),), ignored=((50, 30, 100, 100),), masks="none")
    targets = Resize(sizes=((120, 80),))(before, RNG).targets
    assert targets.boxes.tolist() == [[0, 0, 120, 40]]
    assert targets.ignored_boxes.tolist() == [[100, 60, 120, 80]]


def drawn(transform: Resize, count: int = 300) -> set[tuple[int, int]]:
    """The (width, height) of many resized images of 100 x 100."""
    rng = np.random.default_rng(1)
    image = sample(100, 100, boxes=(), ignored=(), masks="none")
    return {transform(image, rng).info.size[::-1] for _ in range(count)}


def test_one_of_several_sizes() -> None:
    sizes = ((40, 20), (50, 30), (60, 45))
    assert drawn(Resize(sizes=sizes, keep_ratio=False)) == set(sizes)


def test_a_range_of_sizes_draws_both_sides() -> None:
    found = drawn(Resize(sizes=((40, 20), (43, 22)), mode="range", keep_ratio=False))
    assert found == {(long, short) for long in range(40, 44) for short in range(20, 23)}


def test_a_range_of_ratios() -> None:
    found = drawn(Resize(sizes=((40, 20),), ratio_range=(0.5, 1.5), keep_ratio=False), 600)
    widths = {width for width, _ in found}
    assert (min(widths), max(widths)) == (20, 59)
    assert all(height in (width // 2, width / 2) for width, height in found)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sizes": ()}, "sizes: "),
        ({"sizes": ((0, 5),)}, r"sizes\[0\]\[0\]: "),
        ({"sizes": ((5, 5),) * 3, "mode": "range"}, "sizes: a range has two ends, not 3"),
        ({"sizes": ((5, 5),) * 2, "ratio_range": (0.5, 1.0)}, "ratio_range: requires a single"),
        ({"ratio_range": (1.0, 0.5)}, "ratio_range: "),
    ],
)
def test_impossible_settings(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Resize(**fields)  # type: ignore[arg-type]


def test_pillow_averages() -> None:
    """Fine stripes become gray, whereas OpenCV takes some of the pixels."""
    before = sample(40, 80, boxes=(), ignored=())
    before.image[:] = 0
    before.image[:, ::2] = 200
    after = Resize(sizes=((20, 10),), library="pillow")(before, RNG)
    assert after.info.size == (10, 20)
    assert abs(after.image.astype(int) - 100).max() <= 7
    whole = Image.fromarray(before.image).resize((20, 10), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(after.image, np.asarray(whole))
