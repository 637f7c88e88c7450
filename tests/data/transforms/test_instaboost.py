from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from detzoo.config import ConfigError
from detzoo.data.sample import Sample
from detzoo.data.transforms import InstaBoost
from detzoo.data.transforms.instaboost import touching
from detzoo.errors import DataError
from detzoo.structures import Targets
from tests.data.transforms.samples import sample

BOXES = ((12, 14, 32, 34), (50, 20, 80, 50))


def bright(boxes: tuple[tuple[int, ...], ...] = BOXES, size: tuple[int, int] = (70, 100)) -> Sample:
    """Bright objects on a dark ground that gets lighter from left to right."""
    one = sample(*size, boxes=boxes, ignored=((0, 0, 5, 5),))
    image = np.repeat(np.linspace(20, 60, size[1])[None, :, None], size[0], 0).repeat(3, 2)
    for x1, y1, x2, y2 in boxes:
        image[y1:y2, x1:x2] = 220
    return replace(one, image=image.astype(np.uint8))


def test_objects_move_and_boxes_and_masks_follow() -> None:
    before = bright()
    transform = InstaBoost(probability=1.0, color_probability=0.0)
    shifts = []
    for seed in range(20):
        after = transform(before, np.random.default_rng(seed))
        masks = after.targets.masks
        assert masks is not None
        assert after.image.shape == before.image.shape
        assert after.image.dtype == np.uint8
        assert after.targets.labels.tolist() == [0, 1]
        assert after.targets.ignored_boxes.equal(before.targets.ignored_boxes)
        assert after.targets.boxes.equal(masks.to_bitmaps().boxes())
        bitmaps = masks.to_bitmaps().bitmaps.bool().numpy()
        # What is bright is in a mask, but for the soft edge; nothing stays at the old place.
        is_object = after.image[..., 0] > 140
        union = bitmaps.any(0)
        assert (is_object == union).mean() > 0.97
        assert (after.image[~union] < 200).all()
        moved = after.targets.boxes - before.targets.boxes
        shifts.append(moved)
        # At most a 15th of the side, 1.2 times as large, a degree and a pixel of rounding.
        limit = torch.tensor([20.0, 30.0])[:, None] * (1 / 15 + 0.1 + 0.02) + 1.5
        assert (moved.abs() <= limit).all()
    assert torch.stack(shifts).std(0).min() > 0.5


def test_the_hole_is_filled_from_around() -> None:
    before = bright(((40, 20, 60, 50),))
    transform = InstaBoost(probability=1.0, scale_range=(0.2, 0.2), color_probability=0.0)
    after = transform(before, np.random.default_rng(0))
    masks = after.targets.masks
    assert masks is not None
    from_around = np.zeros((70, 100), bool)
    from_around[20:50, 40:60] = True
    near = torch.nn.functional.max_pool2d(masks.to_bitmaps().bitmaps.float(), 9, 1, 4)[0].bool()
    from_around &= ~near.numpy()
    assert from_around.sum() > 300
    filled = after.image[..., 0][from_around].astype(int)
    ground = np.linspace(20, 60, 100)[np.nonzero(from_around)[1]]
    assert np.abs(filled - ground).max() <= 12


def test_objects_that_touch_move_together() -> None:
    before = bright(((12, 14, 32, 34), (32, 14, 42, 34), (70, 20, 90, 50)))
    assert before.targets.masks is not None
    bitmaps = before.targets.masks.to_bitmaps().bitmaps.numpy()
    assert touching(bitmaps) == [[0, 1], [2]]
    assert touching(np.zeros((1, 5, 5), np.uint8)) == []
    assert touching(bitmaps[:0]) == []
    after = InstaBoost(probability=1.0, rotation_range=(0, 0))(before, np.random.default_rng(3))
    first, second = after.targets.boxes[:2]
    assert abs(float(first[2] - second[0])) <= 1
    assert abs(float(first[1] - second[1])) <= 1


def test_colors_change_only_when_drawn() -> None:
    before = bright()
    still = {"scale_range": (1.0, 1.0), "max_shift": (0.0, 0.0), "rotation_range": (0.0, 0.0)}
    same = InstaBoost(probability=1.0, color_probability=0.0, **still)  # type: ignore[arg-type]
    after = same(before, np.random.default_rng(0))
    assert after.targets.boxes.equal(before.targets.boxes)
    assert (after.image[20:28, 18:26] == 220).all()
    other = InstaBoost(probability=1.0, color_probability=1.0, **still)  # type: ignore[arg-type]
    assert (other(before, np.random.default_rng(0)).image[20:28, 18:26] != 220).all()


def test_what_leaves_the_image_goes() -> None:
    before = bright(((0, 0, 4, 4), (50, 20, 80, 50)))
    transform = InstaBoost(probability=1.0, max_shift=(2.0, 2.0), scale_range=(0.1, 0.1))
    lengths = set()
    for seed in range(20):
        after = transform(before, np.random.default_rng(seed))
        masks = after.targets.masks
        assert masks is not None
        assert len(masks) == len(after.targets)
        lengths.add(len(after.targets))
    assert len(lengths) > 1


def test_not_drawn_or_nothing_there() -> None:
    before = bright()
    rng = np.random.default_rng(0)
    assert InstaBoost(probability=0.0)(before, rng) is before
    empty = replace(before, targets=before.targets[torch.zeros(0, dtype=torch.int64)])
    assert InstaBoost(probability=1.0)(empty, rng) is empty
    # An object that fills the image has nothing behind it that could be made up.
    full = bright(((0, 0, 100, 70),))
    after = InstaBoost(probability=1.0)(full, rng)
    assert len(after.targets) == 1


def test_polygons_and_float_images() -> None:
    before = bright()
    polygons = sample(70, 100, boxes=BOXES, masks="polygon").targets
    image = before.image.astype(np.float32)
    after = InstaBoost(probability=1.0)(
        replace(before, image=image, targets=polygons), np.random.default_rng(0)
    )
    assert after.image.dtype == np.float32
    assert after.targets.masks is not None


def test_masks_are_needed() -> None:
    before = bright()
    targets = Targets(before.targets.boxes, before.targets.labels, before.targets.ignored_boxes)
    with pytest.raises(DataError, match="moves objects by their masks, and none are loaded"):
        InstaBoost()(replace(before, targets=targets), np.random.default_rng(0))


@pytest.mark.parametrize(
    "changes",
    [{"probability": 2.0}, {"scale_range": (0.0, 1.0)}, {"max_shift": (-1.0, 0.0)}],
)
def test_bad_settings(changes: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(changes))):
        InstaBoost(**changes)  # type: ignore[arg-type]
