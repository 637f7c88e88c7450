"""Convolutions at several dilations (RF-Next, https://arxiv.org/abs/2206.06637)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BranchedConv2d(nn.Conv2d):
    """A square convolution at several dilations, which share its kernel and are summed.

    The shares of the sum are learned: the absolute values of ``branch_weights``, divided by their
    sum. ``dilation`` is the one that the ``branches`` lie around.
    """

    branches: tuple[int, ...]
    branch_weights: nn.Parameter

    def shares(self) -> Tensor:
        """The part of each branch in the sum."""
        weights = self.branch_weights[: len(self.branches)].abs()
        return weights / weights.sum()

    def forward(self, x: Tensor) -> Tensor:
        kernels = self.shares().view(-1, 1, 1, 1, 1) * self.weight
        maps = [
            F.conv2d(
                x,
                kernel,
                self.bias if number == 0 else None,  # the shares of its parts are one
                self.stride,
                same_padding(self, dilation),
                dilation,
                self.groups,
            )
            for number, (kernel, dilation) in enumerate(zip(kernels, self.branches))
        ]
        return sum(maps[1:], maps[0])


def can_branch(module: nn.Module) -> bool:
    """Whether ``module`` is a plain convolution that sees a square around each cell."""
    if type(module) is not nn.Conv2d or module.padding_mode != "zeros":
        return False
    size, dilation = set(module.kernel_size), set(module.dilation)
    return len(size) == len(dilation) == 1 and min(size) > 1 and min(size) % 2 == 1


def place(conv: nn.Conv2d, dilation: int) -> None:
    """Sets the dilation of ``conv``, and the padding that keeps its output centered."""
    conv.dilation = (dilation, dilation)
    conv.padding = (same_padding(conv, dilation),) * 2


def same_padding(conv: nn.Conv2d, dilation: int) -> int:
    """As mmcv pads, which for a kernel of 7 and a stride of 4 makes the output one cell larger."""
    return (conv.stride[0] - 1 + dilation * (conv.kernel_size[0] - 1)) // 2


def branch(conv: nn.Conv2d, num_weights: int, weight: float) -> BranchedConv2d:
    """Makes ``conv`` a :class:`BranchedConv2d` in place, so that all who refer to it have it. Its
    ``branches`` are the caller's to set."""
    conv.__class__ = BranchedConv2d
    assert isinstance(conv, BranchedConv2d)
    values = torch.full((num_weights,), weight, device=conv.weight.device)
    # What is frozen stays as it is altogether.
    conv.branch_weights = nn.Parameter(values, requires_grad=conv.weight.requires_grad)
    return conv


def is_branch_weight(name: str) -> bool:
    """Whether ``name`` is that of weights of branches, which no other convolution has."""
    return name.endswith(".branch_weights")
