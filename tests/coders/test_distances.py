"""Codes of boxes as distances from a center."""

from __future__ import annotations

import math

import pytest
import torch

from detzoo.coders.base import BoxCoder
from detzoo.coders.delta import DeltaCoder
from detzoo.coders.distance import DistanceCoder
from detzoo.coders.log_distance import LogDistanceCoder
from detzoo.coders.tblr import TBLRCoder

# Center (20, 30), 8 wide and 4 high.
REFERENCE = torch.tensor([[16.0, 28.0, 24.0, 32.0]])
BOX = torch.tensor([[10.0, 25.0, 36.0, 38.0]])


@pytest.mark.parametrize(
    ("coder", "code"),
    [
        (DistanceCoder(), [10.0, 5.0, 16.0, 8.0]),
        (TBLRCoder(scale=4.0), [5 / 16, 8 / 16, 10 / 32, 16 / 32]),
        (LogDistanceCoder(), [math.log(v) for v in (10 / 8, 5 / 4, 16 / 8, 8 / 4)]),
    ],
)
def test_code(coder: BoxCoder, code: list[float]) -> None:
    found = coder.encode(REFERENCE, BOX)
    torch.testing.assert_close(found, torch.tensor([code]))
    torch.testing.assert_close(coder.decode(REFERENCE, found), BOX)
    # Many at once, of several images.
    many = coder.decode(REFERENCE.expand(3, 4), found.expand(2, 3, 4))
    torch.testing.assert_close(many, BOX.expand(2, 3, 4))


def test_boxes_are_cut_at_the_image() -> None:
    size = (35, 33)  # height, width
    for coder in (DistanceCoder(), TBLRCoder()):
        cut = coder.decode(REFERENCE, coder.encode(REFERENCE, BOX), size)
        torch.testing.assert_close(cut, torch.tensor([[10.0, 25.0, 33.0, 35.0]]))
    coder = LogDistanceCoder()
    cut = coder.decode(REFERENCE, coder.encode(REFERENCE, BOX), size)
    torch.testing.assert_close(cut, torch.tensor([[10.0, 25.0, 32.0, 34.0]]))


def test_logarithms_are_finite() -> None:
    """A side beyond the center, and one far away."""
    code = LogDistanceCoder().encode(REFERENCE, torch.tensor([[21.0, 25.0, 500.0, 38.0]]))
    assert code[0, 0].item() == pytest.approx(-math.log(16))
    assert code[0, 2].item() == pytest.approx(math.log(16))


def test_limited_shift() -> None:
    coder = DeltaCoder(max_shift=3.0)
    moved = coder.decode(REFERENCE, torch.tensor([[1.0, -0.5, 0.0, 0.0]]))
    torch.testing.assert_close(moved, REFERENCE + torch.tensor([3.0, -2.0, 3.0, -2.0]))
    small = coder.decode(REFERENCE, torch.tensor([[0.0, 0.0, -9.0, 9.0]]))
    sides = small[0, 2:] - small[0, :2]
    torch.testing.assert_close(
        sides, torch.tensor([8 * math.exp(-9.0), 4 * 1000 / 16]), rtol=1e-2, atol=1e-5
    )
