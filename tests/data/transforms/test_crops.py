from __future__ import annotations

import numpy as np
import pytest
import torch

from detzoo.config import ConfigError
from detzoo.data.sample import SkipSample
from detzoo.data.transforms import Crop, Expand, MinIoUCrop
from tests.data.transforms.samples import check_consistent, sample

FORMS = pytest.mark.parametrize("masks", ["none", "bitmap", "polygon"])


@FORMS
def test_crop_moves_and_clips_everything(masks: str) -> None:
    before = sample(masks=masks)
    rng = np.random.default_rng(0)
    for _ in range(30):
        after = Crop(size=(30, 40), allow_empty=True)(before, rng)
        left, top = (-int(offset) for offset in after.info.offset)
        np.testing.assert_array_equal(after.image, before.image[top : top + 30, left : left + 40])
        expected, labels = [], []
        for label, (x1, y1, x2, y2) in enumerate(before.targets.boxes.tolist()):
            box = [
                min(max(x1 - left, 0), 40),
                min(max(y1 - top, 0), 30),
                min(max(x2 - left, 0), 40),
                min(max(y2 - top, 0), 30),
            ]
            if box[2] > box[0] and box[3] > box[1]:
                expected.append(box)
                labels.append(label)
        assert after.targets.boxes.tolist() == expected
        assert after.targets.labels.tolist() == labels
        check_consistent(before, after)


def sizes(transform: Crop, count: int = 400) -> set[tuple[int, int]]:
    rng = np.random.default_rng(0)
    before = sample(8, 12, boxes=((0, 0, 12, 8),), ignored=(), masks="none")
    return {transform(before, rng).info.size for _ in range(count)}


def test_the_kinds_of_crop() -> None:
    assert sizes(Crop(size=(5, 9))) == {(5, 9)}
    assert sizes(Crop(size=(50, 9))) == {(8, 9)}  # never larger than the image
    assert sizes(Crop(size=(6, 10), kind="absolute_range")) == {
        (h, w) for h in (6, 7, 8) for w in (6, 7, 8, 9, 10)
    }
    assert sizes(Crop(size=(0.5, 0.25), kind="relative")) == {(4, 3)}
    drawn = sizes(Crop(size=(0.5, 0.75), kind="relative_range"))
    assert drawn == {(h, w) for h in range(4, 9) for w in range(9, 13)}


def test_every_place_is_possible() -> None:
    before = sample(8, 12, boxes=((0, 0, 12, 8),), ignored=(), masks="none")
    rng = np.random.default_rng(0)
    offsets = {Crop(size=(7, 10))(before, rng).info.offset for _ in range(200)}
    assert offsets == {(-x, -y) for x in range(3) for y in range(2)}


def test_a_crop_without_objects_is_skipped_unless_allowed() -> None:
    before = sample(boxes=(), masks="bitmap")
    with pytest.raises(SkipSample):
        Crop(size=(10, 10))(before, np.random.default_rng(0))
    after = Crop(size=(10, 10), allow_empty=True)(before, np.random.default_rng(0))
    assert len(after.targets) == 0
    check_consistent(before, after)


@pytest.mark.parametrize(
    ("size", "kind"),
    [
        ((0, 5), "absolute"),
        ((2.5, 5), "absolute"),
        ((1.5, 0.5), "relative"),
        ((9, 5), "absolute_range"),
    ],
)
def test_impossible_crops(size: tuple[float, float], kind: str) -> None:
    with pytest.raises(ConfigError, match=r"size(\[0\])?: "):
        Crop(size=size, kind=kind)  # type: ignore[arg-type]


@FORMS
def test_expand_puts_the_image_on_a_canvas(masks: str) -> None:
    before = sample(masks=masks)
    rng = np.random.default_rng(0)
    for _ in range(10):
        after = Expand(fill=(1.9, 2, 3), ratio_range=(1.5, 3), probability=1)(before, rng)
        height, width = after.info.size
        ratio = width / 60
        assert 1.49 <= ratio <= 3
        assert abs(height - 40 * ratio) <= 1
        left, top = (int(offset) for offset in after.info.offset)
        inside = after.image[top : top + 40, left : left + 60]
        np.testing.assert_array_equal(inside, before.image)
        outside = np.ones((height, width), bool)
        outside[top : top + 40, left : left + 60] = False
        assert (after.image[outside] == [1, 2, 3]).all()
        shift = torch.tensor([left, top, left, top])
        assert torch.equal(after.targets.boxes, before.targets.boxes + shift)
        assert torch.equal(after.targets.ignored_boxes, before.targets.ignored_boxes + shift)
        check_consistent(before, after)
    never = Expand(probability=0)
    assert never(before, rng) is before


@FORMS
def test_min_iou_crop_keeps_what_it_promises(masks: str) -> None:
    before = sample(masks=masks)
    rng = np.random.default_rng(0)
    everything = torch.cat([before.targets.boxes, before.targets.ignored_boxes])
    shapes = set()
    for _ in range(60):
        after = MinIoUCrop(min_ious=(0.2,), min_size=0.3)(before, rng)
        height, width = after.info.size
        shapes.add((height, width))
        if (height, width) == (40, 60):
            continue
        left, top = (-int(offset) for offset in after.info.offset)
        assert width >= 0.3 * 60 - 1
        assert height >= 0.3 * 40 - 1
        assert 0.4 <= height / width <= 2.5  # between 1/2 and 2 before rounding to pixels
        np.testing.assert_array_equal(
            after.image, before.image[top : top + height, left : left + width]
        )
        window = torch.tensor([[left, top, left + width, top + height]], dtype=torch.float32)
        centers = (everything[:, :2] + everything[:, 2:]) / 2
        held = ((centers > window[:, :2]) & (centers < window[:, 2:])).all(1)
        assert held.any()
        assert after.targets.labels.tolist() == held[:2].nonzero()[:, 0].tolist()
        assert len(after.targets.ignored_boxes) == int(held[2])
        check_consistent(before, after)
    assert len(shapes) > 10


def test_min_iou_crop_honours_the_least_overlap() -> None:
    # One object fills the image, so that the overlap is the window's part of the image.
    before = sample(boxes=((0, 0, 60, 40),), ignored=(), masks="none")
    rng = np.random.default_rng(0)
    areas = []
    for _ in range(60):
        after = MinIoUCrop(min_ious=(0.8,), min_size=0.3)(before, rng)
        areas.append(after.info.size[0] * after.info.size[1] / 2400)
    # A third each: the whole image, at least 0.8, and anything.
    at_least = [area for area in areas if 0.8 <= area < 1]
    anything = [area for area in areas if area < 0.8]
    assert len([area for area in areas if area == 1]) > 5
    assert len(at_least) > 10
    assert len(anything) > 5


def test_min_iou_crop_without_objects() -> None:
    before = sample(boxes=(), ignored=())
    rng = np.random.default_rng(0)
    found = [MinIoUCrop()(before, rng) for _ in range(20)]
    assert len({after.info.size for after in found}) > 5
    for after in found:
        check_consistent(before, after)
