"""Convolutions at several dilations."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from detzoo.layers.branched import branch, can_branch, place, same_padding
from detzoo.layers.convolution import WeightStandardizedConv2d


def test_the_sum_of_two_dilations() -> None:
    conv = nn.Conv2d(8, 8, 3, padding=1)
    nn.init.constant_(conv.weight, 1 / 8)
    assert conv.bias is not None
    nn.init.constant_(conv.bias, 0.5)
    branched = branch(conv, 2, 0.01)
    assert branched is conv
    branched.branches = (1, 2)
    branched.branch_weights.data = torch.tensor([1.0, -3.0])
    pixels = torch.zeros(1, 8, 9, 9)
    pixels[:, :, 4, 4] = 1
    wanted = torch.full((9, 9), 0.5)
    wanted[3:6, 3:6] += 0.25
    wanted[2:7:2, 2:7:2] += 0.75
    torch.testing.assert_close(branched(pixels), wanted.expand(1, 8, 9, 9))


def test_a_sum_of_one_is_the_convolution() -> None:
    """Branches with equal dilations are one; its weight has no effect, but a gradient of zero."""
    conv = nn.Conv2d(8, 8, 3, stride=2, padding=1)
    pixels = torch.randn(1, 8, 10, 10)
    wanted = conv(pixels)
    branched = branch(conv, 2, 0.01)
    branched.branches = (1,)
    found = branched(pixels)
    torch.testing.assert_close(found, wanted)
    found.sum().backward()
    assert branched.branch_weights.grad is not None
    torch.testing.assert_close(branched.branch_weights.grad, torch.zeros(2), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation", "padding"),
    [(3, 1, 1, 1), (3, 1, 4, 4), (3, 2, 1, 1), (3, 2, 3, 3), (5, 1, 2, 4), (7, 1, 1, 3)],
)
def test_outputs_stay_centered(kernel: int, stride: int, dilation: int, padding: int) -> None:
    conv = nn.Conv2d(8, 8, kernel, stride=stride)
    place(conv, dilation)
    assert (conv.dilation, conv.padding) == ((dilation,) * 2, (padding,) * 2)
    assert conv(torch.zeros(1, 8, 32, 32)).shape[-1] == 32 // stride


def test_patches_of_pvt() -> None:
    """mmcv pads these by one cell more than PVT does."""
    assert same_padding(nn.Conv2d(8, 8, 7, stride=4, padding=3), 1) == 4


def test_frozen_convolutions_have_frozen_branches() -> None:
    conv = nn.Conv2d(8, 8, 3).requires_grad_(False)
    assert not branch(conv, 2, 0.01).branch_weights.requires_grad


def test_which_convolutions_can_have_branches() -> None:
    assert can_branch(nn.Conv2d(8, 8, 3, stride=2, groups=8))
    others = [
        nn.Conv2d(8, 8, 1),
        nn.Conv2d(8, 8, 4),
        nn.Conv2d(8, 8, (1, 7)),
        nn.Conv2d(8, 8, 3, padding_mode="reflect"),
        WeightStandardizedConv2d(8, 8, 3),
        nn.ConvTranspose2d(8, 8, 3),
    ]
    assert not any(can_branch(module) for module in others)
