from __future__ import annotations

import numpy as np
import pytest

from detzoo.config import ConfigError
from detzoo.data.transforms import CutOut
from tests.data.transforms.samples import sample


def test_rectangles_are_filled() -> None:
    before = sample()
    image = before.image.copy()
    transform = CutOut(holes=(1, 1), sizes=((8, 4),), fill=(300, 2, 3))
    rng = np.random.default_rng(0)
    for _ in range(20):
        changed = (transform(before, rng).image == (255, 2, 3)).all(2)
        rows, columns = np.nonzero(changed)
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert changed.sum() == height * width
        # Smaller only where it reaches beyond the image.
        assert height == 4 or rows.max() == 39
        assert width == 8 or columns.max() == 59
    assert (before.image == image).all()


def test_numbers_and_sizes_are_drawn() -> None:
    black = CutOut(holes=(0, 2), sizes=((0.1, 0.1), (0.5, 0.1)), relative=True)
    rng = np.random.default_rng(0)
    covered = [int((black(sample(), rng).image == 0).all(2).sum()) for _ in range(100)]
    assert min(covered) == 0
    assert {24, 120, 48} <= set(covered)  # 6 or 30 columns, 4 rows
    assert max(covered) <= 240


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match=r"sizes: .* give fractions up to 1"):
        CutOut(holes=(1, 1), sizes=((8, 4),), relative=True)
    with pytest.raises(ConfigError, match="holes"):
        CutOut(holes=(3, 1), sizes=((8, 4),))
