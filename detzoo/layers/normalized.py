"""Cosine similarity layers, for long-tailed class distributions."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

# Cosines are at most 1; logits need a wider range.
TEMPERATURE = 20.0
EPS = 1e-6


class NormalizedLinear(nn.Linear):
    """Computes logits as the cosines of the input with each row of the weight, times 20, plus bias.

    The classifier of Seesaw loss (https://arxiv.org/abs/2008.10032).
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(TEMPERATURE * _unit(x), _unit(self.weight), self.bias)


class NormalizedConv2d(nn.Conv2d):
    """:class:`NormalizedLinear` for every cell: a 1x1 convolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(TEMPERATURE * _unit(x), _unit(self.weight), self.bias)


def _unit(x: Tensor) -> Tensor:
    """Normalizes vectors along dimension 1 to length 1."""
    return x / (x.norm(dim=1, keepdim=True) + EPS)
