"""A choice between policies."""

from __future__ import annotations

import numpy as np
import pytest

from detzoo.config import ConfigError
from detzoo.data.transforms import Flip, OneOf, Pad, Resize
from detzoo.zoo.detr import crop_policies
from tests.data.transforms.samples import check_consistent, sample


def test_policies_are_drawn_evenly_and_applied_whole() -> None:
    half = Resize(sizes=((20, 10),), keep_ratio=False)
    choice = OneOf(policies=((half, Flip(probability=1.0)), (Pad(size=(100, 100)),)))
    rng = np.random.default_rng(0)
    resized = 0
    for _ in range(200):
        info = choice(sample(), rng).info
        if info.size == (10, 20):
            assert info.flip == "horizontal"
            resized += 1
        else:
            assert info.flip == "none"
            assert info.padded_size == (100, 100)
    assert 70 < resized < 130


def test_policies_of_detr_keep_the_image_within_its_sizes() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        before = sample()
        after = crop_policies(1333)(before, rng)
        assert 480 <= min(after.info.size) <= 800 or max(after.info.size) == 1333
        check_consistent(before, after)


def test_no_policy() -> None:
    with pytest.raises(ConfigError, match=r"policies: .* at least 1 element"):
        OneOf(policies=())
