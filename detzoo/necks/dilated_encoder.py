"""YOLOF's dilated encoder: one map that covers objects of all sizes
(https://arxiv.org/abs/2103.09460)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import Channels, PositiveInt, config
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.norm import BatchNormConfig
from detzoo.necks.base import Neck, NeckConfig


@config
class DilatedEncoderConfig(NeckConfig):
    """Processes the backbone's last map with residual blocks of increasing dilation.

    Args:
        out_channels: Channels of the output.
        middle_channels: Channels inside the residual blocks.
        dilations: Dilation of each residual block.
    """

    out_channels: Channels = 512
    middle_channels: Channels = 128
    dilations: tuple[PositiveInt, ...] = (2, 4, 6, 8)

    def build(self, in_channels: Sequence[int], in_strides: Sequence[int]) -> DilatedEncoder:
        return DilatedEncoder(self, in_channels, in_strides)


class DilatedEncoder(Neck):
    """Children ``lateral_conv`` and ``fpn_conv`` with their norms, ``dilated_encoder_blocks``."""

    def __init__(
        self, config: DilatedEncoderConfig, in_channels: Sequence[int], in_strides: Sequence[int]
    ) -> None:
        super().__init__()
        channels = config.out_channels
        self.lateral_conv = LateBiasConv2d(in_channels[-1], channels, 1)
        self.lateral_norm = BatchNormConfig().build(channels)
        self.fpn_conv = LateBiasConv2d(channels, channels, 3, padding=1)
        self.fpn_norm = BatchNormConfig().build(channels)
        self.dilated_encoder_blocks = nn.Sequential(
            *(Block(channels, config.middle_channels, dilation) for dilation in config.dilations)
        )
        self.out_channels = (channels,)
        self.out_strides = (in_strides[-1],)
        for conv in (self.lateral_conv, self.fpn_conv):
            nn.init.kaiming_uniform_(conv.weight, a=1)
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)
        for module in self.dilated_encoder_blocks.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)

    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        x = self.lateral_norm(self.lateral_conv(features[-1]))
        x = self.fpn_norm(self.fpn_conv(x))
        return (self.dilated_encoder_blocks(x),)


class LateBiasConv2d(nn.Conv2d):
    """A convolution with its bias added separately.

    The following batch norm cancels the bias, so its gradient is only rounding error, which would
    be larger in a convolution's own sum over all cells.
    """

    def forward(self, x: Tensor) -> Tensor:
        assert self.bias is not None
        return F.conv2d(x, self.weight, None, padding=self.padding) + self.bias[:, None, None]


class Block(nn.Module):
    """A residual bottleneck around a dilated convolution."""

    def __init__(self, channels: int, middle: int, dilation: int) -> None:
        super().__init__()
        norm = BatchNormConfig()
        self.conv1 = ConvModule(channels, middle, 1, norm=norm)
        self.conv2 = ConvModule(middle, middle, 3, padding=dilation, dilation=dilation, norm=norm)
        self.conv3 = ConvModule(middle, channels, 1, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv3(self.conv2(self.conv1(x)))
