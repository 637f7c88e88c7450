"""Cross stage partial layers (CSPNet, https://arxiv.org/abs/1911.11929) as used by YOLOX."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.norm import BatchNormConfig, NormConfig
from detzoo.layers.separable import SeparableConv

YOLOX_NORM = BatchNormConfig(eps=1e-3, momentum=0.03)


class CSPBlock(nn.Module):
    """A 1x1 and a 3x3 convolution, with a shortcut if ``has_shortcut``."""

    def __init__(
        self, channels: int, *, has_shortcut: bool, depthwise: bool, norm: NormConfig
    ) -> None:
        super().__init__()
        self.has_shortcut = has_shortcut
        self.conv1 = ConvModule(channels, channels, 1, norm=norm, activation="silu")
        self.conv2 = spatial_conv(channels, channels, 1, depthwise, norm)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv2(self.conv1(x))
        return x + out if self.has_shortcut else out


class CSPLayer(nn.Module):
    """CSP layer: ``num_blocks`` blocks process half the channels; the other half bypasses them."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        num_blocks: int,
        has_shortcuts: bool,
        depthwise: bool,
        norm: NormConfig = YOLOX_NORM,
    ) -> None:
        super().__init__()
        half = out_channels // 2
        self.main_conv = ConvModule(in_channels, half, 1, norm=norm, activation="silu")
        self.short_conv = ConvModule(in_channels, half, 1, norm=norm, activation="silu")
        self.final_conv = ConvModule(2 * half, out_channels, 1, norm=norm, activation="silu")
        self.blocks = nn.Sequential(
            *(
                CSPBlock(half, has_shortcut=has_shortcuts, depthwise=depthwise, norm=norm)
                for _ in range(num_blocks)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        main, short = self.blocks(self.main_conv(x)), self.short_conv(x)
        return self.final_conv(torch.cat([main, short], 1))


def spatial_conv(
    in_channels: int, out_channels: int, stride: int, depthwise: bool, norm: NormConfig = YOLOX_NORM
) -> nn.Module:
    """A 3x3 convolution with norm and SiLU; if ``depthwise``, a separable one, as in YOLOX-Nano."""
    if depthwise:
        return SeparableConv(
            in_channels, out_channels, 3, stride=stride, padding=1, norm=norm, activation="silu"
        )
    return ConvModule(
        in_channels, out_channels, 3, stride=stride, padding=1, norm=norm, activation="silu"
    )
