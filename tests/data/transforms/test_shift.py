from __future__ import annotations

import numpy as np
import pytest
import torch

from detzoo.config import ConfigError
from detzoo.data.transforms import RandomShift
from tests.data.transforms.samples import check_consistent, sample


def test_shifts() -> None:
    before = sample()
    moved = 0
    for seed in range(30):
        after = RandomShift(probability=1.0, max_shift=12)(before, np.random.default_rng(seed))
        check_consistent(before, after)
        x, y = (int(v) for v in after.info.offset)
        assert abs(x) <= 12
        assert abs(y) <= 12
        moved += (x, y) != (0, 0)
        assert after.image.shape == before.image.shape
        shifted = np.roll(before.image, (y, x), (0, 1))
        height, width = before.image.shape[:2]
        rows, columns = np.arange(height) - y, np.arange(width) - x
        inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
        np.testing.assert_array_equal(after.image, np.where(inside[..., None], shifted, 0))
    assert moved > 20


def test_objects_that_leave_are_dropped() -> None:
    given = sample(boxes=((0, 0, 2, 30), (10, 10, 40, 30)), ignored=((0, 0, 2, 2),))
    for seed in range(40):
        after = RandomShift(probability=1.0, max_shift=8)(given, np.random.default_rng(seed))
        x = after.info.offset[0]
        assert after.targets.labels.tolist() == ([1] if x <= -1 else [0, 1])
        sides = after.targets.boxes[:, 2:] - after.targets.boxes[:, :2]
        assert (sides > 1).all()


def test_an_image_that_would_be_empty_stays() -> None:
    given = sample(boxes=((0, 0, 1.5, 1.5),), ignored=())
    for seed in range(20):
        after = RandomShift(probability=1.0, max_shift=8)(given, np.random.default_rng(seed))
        assert len(after.targets) == 1
        x, y = after.info.offset
        assert min(x, y) >= 0
    none = sample(boxes=(), ignored=(), masks="none")
    assert RandomShift(probability=1.0)(none, np.random.default_rng(0)) is none


def test_a_panorama_that_would_leave_its_frame_stays() -> None:
    given = sample(22, 400, boxes=((100, 4, 140, 18),), ignored=())
    shift = RandomShift(probability=1.0, max_shift=32)
    moved = [shift(given, np.random.default_rng(seed)) for seed in range(50)]
    for after in moved:
        assert len(after.targets) == 1
        assert abs(after.info.offset[1]) < 22
    assert 10 < sum(after is given for after in moved) < 45


def test_probability() -> None:
    given, rng = sample(), np.random.default_rng(0)
    same = sum(RandomShift()(given, rng) is given for _ in range(400))
    assert 150 < same < 250
    assert RandomShift(probability=0.0)(given, rng) is given
    torch.testing.assert_close(given.targets.boxes, sample().targets.boxes)


@pytest.mark.parametrize(("field", "value"), [("probability", 1.5), ("max_shift", -1)])
def test_impossible_settings(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=field):
        RandomShift(**{field: value})  # type: ignore[arg-type]
