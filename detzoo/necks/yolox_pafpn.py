"""YOLOX's neck (https://arxiv.org/abs/2107.08430), a path aggregation network
(https://arxiv.org/abs/1803.01534)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import Channels, NonNegativeInt, config
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.csp import YOLOX_NORM, CSPLayer, spatial_conv
from detzoo.layers.norm import NormConfig
from detzoo.necks.base import Neck, NeckConfig


@config
class YOLOXPAFPNConfig(NeckConfig):
    """A top-down and a bottom-up pathway that merge maps by concatenation and CSP layers.

    Args:
        out_channels: Channels of every output.
        num_blocks: Number of blocks in each CSP layer.
        depthwise: Use depthwise separable 3x3 convolutions.
        norm: Norm after each convolution.
    """

    out_channels: Channels = 256
    num_blocks: NonNegativeInt = 3
    depthwise: bool = False
    norm: NormConfig = YOLOX_NORM

    def build(self, in_channels: Sequence[int], in_strides: Sequence[int]) -> YOLOXPAFPN:
        return YOLOXPAFPN(self, in_channels, in_strides)


class YOLOXPAFPN(Neck):
    """Children ``reduce_layers``, ``top_down_blocks``, ``downsamples``, ``bottom_up_blocks`` and
    ``out_convs``; the first two are ordered from the coarsest map, the others from the finest."""

    def __init__(
        self, config: YOLOXPAFPNConfig, in_channels: Sequence[int], in_strides: Sequence[int]
    ) -> None:
        super().__init__()
        norm, depthwise = config.norm, config.depthwise
        self.reduce_layers, self.top_down_blocks = nn.ModuleList(), nn.ModuleList()
        self.downsamples, self.bottom_up_blocks = nn.ModuleList(), nn.ModuleList()

        def layer(width_in: int, width_out: int) -> CSPLayer:
            return CSPLayer(
                width_in,
                width_out,
                num_blocks=config.num_blocks,
                has_shortcuts=False,
                depthwise=depthwise,
                norm=norm,
            )

        for fine, coarse in reversed(list(itertools.pairwise(in_channels))):
            self.reduce_layers.append(ConvModule(coarse, fine, 1, norm=norm, activation="silu"))
            self.top_down_blocks.append(layer(2 * fine, fine))
        for fine, coarse in itertools.pairwise(in_channels):
            self.downsamples.append(spatial_conv(fine, fine, 2, depthwise, norm))
            self.bottom_up_blocks.append(layer(2 * fine, coarse))
        self.out_convs = nn.ModuleList(
            ConvModule(width, config.out_channels, 1, norm=norm, activation="silu")
            for width in in_channels
        )
        self.out_channels = (config.out_channels,) * len(in_channels)
        self.out_strides = tuple(in_strides)
        initialize_convs(self)

    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        x = features[-1]
        laterals = []  # for the bottom-up pathway, coarse to fine
        steps = zip(reversed(features[:-1]), self.reduce_layers, self.top_down_blocks)
        for fine, reduce, block in steps:
            x = reduce(x)
            laterals.append(x)
            above = F.interpolate(x, size=fine.shape[2:], mode="nearest")
            x = block(torch.cat([above, fine], 1))
        outputs = [x]
        for lateral, downsample, block in zip(
            reversed(laterals), self.downsamples, self.bottom_up_blocks
        ):
            x = block(torch.cat([downsample(x), lateral], 1))
            outputs.append(x)
        return tuple(conv(x) for conv, x in zip(self.out_convs, outputs))


def initialize_convs(module: nn.Module) -> None:
    """Applies PyTorch's default initialization, with which YOLOX was trained."""
    for conv in module.modules():
        if isinstance(conv, nn.Conv2d):
            conv.reset_parameters()
