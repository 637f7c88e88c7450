from __future__ import annotations

import math

import pytest
import torch

from detzoo.coders.delta import DeltaCoder
from detzoo.config import ConfigError
from tests.ops.reference import random_boxes

REFERENCE = torch.tensor([[10.0, 20.0, 30.0, 60.0]])  # center (20, 40), 20 wide, 40 high
BOX = torch.tensor([[15.0, 40.0, 55.0, 50.0]])  # center (35, 45), 40 wide, 10 high


def test_encode_by_hand() -> None:
    wanted = torch.tensor([[15 / 20, 5 / 40, math.log(2), math.log(1 / 4)]])
    torch.testing.assert_close(DeltaCoder().encode(REFERENCE, BOX), wanted)


def test_means_and_deviations() -> None:
    coder = DeltaCoder(means=(0.5, 0.0, 0.0, 1.0), stds=(0.1, 0.1, 0.2, 0.2))
    deltas = coder.encode(REFERENCE, BOX)
    wanted = [(0.75 - 0.5) / 0.1, 0.125 / 0.1, math.log(2) / 0.2, (math.log(0.25) - 1) / 0.2]
    torch.testing.assert_close(deltas, torch.tensor([wanted]))
    torch.testing.assert_close(coder.decode(REFERENCE, deltas), BOX)


def test_decode_undoes_encode() -> None:
    references, boxes = random_boxes(20, seed=0), random_boxes(20, seed=1)
    coder = DeltaCoder(stds=(0.1, 0.1, 0.2, 0.2))
    deltas = coder.encode(references, boxes)
    torch.testing.assert_close(coder.decode(references, deltas), boxes)
    torch.testing.assert_close(coder.decode(references, torch.zeros(20, 4)), references)


def test_a_batch_of_deltas_shares_its_references() -> None:
    references, deltas = random_boxes(5, seed=0), torch.randn(3, 5, 4)
    boxes = DeltaCoder().decode(references, deltas)
    assert boxes.shape == (3, 5, 4)
    torch.testing.assert_close(boxes[2], DeltaCoder().decode(references, deltas[2]))


def test_size_ratios_are_limited() -> None:
    deltas = torch.tensor([[0.0, 0.0, 100.0, -100.0]])
    box = DeltaCoder().decode(torch.tensor([[-8.0, -8.0, 8.0, 8.0]]), deltas)
    torch.testing.assert_close(box, torch.tensor([[-500.0, -0.128, 500.0, 0.128]]))


def test_boxes_are_cut_at_the_image() -> None:
    deltas = torch.tensor([[0.0, 0.0, math.log(10), math.log(10)]])
    boxes = DeltaCoder().decode(REFERENCE, deltas, (50, 70))
    assert boxes.tolist() == [[0, 0, 70, 50]]


def test_no_boxes() -> None:
    none = torch.zeros(0, 4)
    assert DeltaCoder().encode(none, none).shape == (0, 4)
    assert DeltaCoder().decode(none, none, (5, 5)).shape == (0, 4)


@pytest.mark.parametrize("method", ["encode", "decode"])
def test_gradients(method: str) -> None:
    references = random_boxes(4, seed=2).double()
    other = random_boxes(4, seed=3) if method == "encode" else torch.rand(4, 4)
    change = getattr(DeltaCoder(means=(0.1,) * 4, stds=(0.1, 0.1, 0.2, 0.2)), method)
    assert torch.autograd.gradcheck(
        lambda x: change(references, x), other.double().requires_grad_()
    )


def test_sides_grow_and_shrink_by_at_most_a_ratio() -> None:
    reference = torch.tensor([0.0, 0.0, 10.0, 10.0])
    wild = torch.tensor([0.0, 0.0, 50.0, -50.0])
    for coder, ratio in ((DeltaCoder(), 62.5), (DeltaCoder(max_ratio=4.0), 4.0)):
        box = coder.decode(reference, wild)
        assert (box[2:] - box[:2]).tolist() == pytest.approx([10 * ratio, 10 / ratio], rel=1e-4)
    with pytest.raises(ConfigError, match=r"max_ratio: 0\.5 is not at least 1"):
        DeltaCoder(max_ratio=0.5)
