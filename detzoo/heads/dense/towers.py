"""Layers shared by dense heads."""

from __future__ import annotations

import itertools
import math

from torch import nn

from detzoo.layers.conv_norm_act import PLAIN, ConvModule
from detzoo.layers.convolution import ConvConfig, DeformConv2d
from detzoo.layers.norm import NormConfig


def tower(
    in_channels: int,
    channels: int,
    num_convs: int,
    *,
    norm: NormConfig | None = None,
    bias: bool | None = None,
    last: ConvConfig = PLAIN,
) -> nn.Sequential:
    """Builds a stack of 3x3 convolutions; ``last`` is the kind of the last one."""
    widths = itertools.pairwise([in_channels, *[channels] * num_convs])
    kinds = [*[PLAIN] * (num_convs - 1), last]
    return nn.Sequential(
        *(
            ConvModule(a, b, 3, padding=1, convolution=kind, norm=norm, bias=bias)
            for (a, b), kind in zip(widths, kinds)
        )
    )


def initialize_convs(module: nn.Module) -> None:
    """Initializes small weights, so that initial predictions have no confidence."""
    for conv in module.modules():
        if isinstance(conv, nn.Conv2d):
            nn.init.normal_(conv.weight, std=0.01)
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)
    for conv in module.modules():
        if isinstance(conv, DeformConv2d):
            nn.init.zeros_(conv.conv_offset.weight)


def set_prior_probability(conv: nn.Conv2d, probability: float = 0.01) -> None:
    """Initializes the bias so that every class starts at this score, as objects are rare."""
    assert conv.bias is not None
    nn.init.constant_(conv.bias, -math.log(1 / probability - 1))
