from __future__ import annotations

import numpy as np
import pytest
import torch

from detzoo.config import ConfigError, from_dict, to_dict
from detzoo.data.transforms import Crop, Flip, Resize
from detzoo.data.transforms.flip import flip
from tests.data.transforms.samples import check_consistent, sample

BOXES = {
    "horizontal": [[40, 6, 56, 16], [5, 10, 30, 38]],
    "vertical": [[4, 24, 20, 34], [30, 2, 55, 30]],
    "diagonal": [[40, 24, 56, 34], [5, 2, 30, 30]],
}
IGNORED = {"horizontal": [35, 20, 50, 39], "vertical": [10, 1, 25, 20], "diagonal": [35, 1, 50, 20]}
AXES = {"horizontal": (1,), "vertical": (0,), "diagonal": (0, 1)}


@pytest.mark.parametrize("masks", ["none", "bitmap", "polygon"])
@pytest.mark.parametrize("direction", ["horizontal", "vertical", "diagonal"])
def test_each_direction(direction: str, masks: str) -> None:
    before = sample(masks=masks)
    after = Flip(probability=1.0, directions=(direction,))(before, np.random.default_rng(0))  # type: ignore[arg-type]
    np.testing.assert_array_equal(after.image, np.flip(before.image, AXES[direction]))
    assert after.targets.boxes.tolist() == BOXES[direction]
    assert after.targets.ignored_boxes.tolist() == [IGNORED[direction]]
    assert after.info.flip == direction
    assert after.info.offset == (0, 0)
    check_consistent(before, after)


@pytest.mark.parametrize("first", ["horizontal", "vertical", "diagonal"])
@pytest.mark.parametrize("second", ["horizontal", "vertical", "diagonal"])
def test_flips_of_resized_crops_map_back(first: str, second: str) -> None:
    before = sample()
    rng = np.random.default_rng(3)
    after = Resize(sizes=((90, 70),))(before, rng)
    after = flip(after, first)  # type: ignore[arg-type]
    after = Crop(size=(0.8, 0.7), kind="relative")(after, rng)
    after = flip(after, second)  # type: ignore[arg-type]
    after = Resize(sizes=((60, 50),), keep_ratio=False)(after, rng)
    assert len(after.targets) == 2
    check_consistent(before, after)
    assert (after.info.flip == "none") == (first == second)


def test_the_probability_is_shared_by_the_directions() -> None:
    rng = np.random.default_rng(0)
    transform = Flip(probability=0.6, directions=("horizontal", "vertical"))
    before = sample(8, 8, boxes=(), ignored=(), masks="none")
    states = [transform(before, rng).info.flip for _ in range(2000)]
    counts = torch.tensor([states.count(s) / 2000 for s in ("none", "horizontal", "vertical")])
    torch.testing.assert_close(counts, torch.tensor([0.4, 0.3, 0.3]), atol=0.04, rtol=0)


def test_impossible_settings() -> None:
    with pytest.raises(ConfigError, match=r"probability: 1.5"):
        Flip(probability=1.5)
    with pytest.raises(ConfigError, match="directions"):
        Flip(directions=())


def test_a_probability_for_each_direction() -> None:
    transform = Flip(probability=(0.1, 0.6), directions=("horizontal", "vertical"))
    assert from_dict(to_dict(transform), {"Flip": Flip}) == transform
    rng = np.random.default_rng(0)
    flips = [transform(sample(), rng).info.flip for _ in range(500)]
    assert 20 < flips.count("horizontal") < 80
    assert 260 < flips.count("vertical") < 340
    for wrong in ((0.5,), (0.6, 0.6)):
        with pytest.raises(ConfigError, match=r"probability: .* with a sum up to 1"):
            Flip(probability=wrong, directions=("horizontal", "vertical"))
