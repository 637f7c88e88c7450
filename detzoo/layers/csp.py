"""Cross-stage partial layers (https://arxiv.org/abs/1911.11929), as YOLOX has them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from detzoo.layers.conv import ConvModule
from detzoo.layers.norm import BatchNorm, Norm
from detzoo.layers.separable import SeparableConv

# The statistics that YOLOX was trained with.
YOLOX_NORM = BatchNorm(eps=1e-3, momentum=0.03)


def conv3x3(
    in_channels: int, out_channels: int, *, stride: int = 1, norm: Norm, separable: bool
) -> nn.Module:
    """3x3 convolution with norm and SiLU; ``separable`` filters every channel by itself."""
    if separable:
        return SeparableConv(
            in_channels,
            out_channels,
            3,
            stride=stride,
            padding=1,
            norm=norm,
            activation="silu",
        )
    return ConvModule(
        in_channels, out_channels, 3, stride=stride, padding=1, norm=norm, activation="silu"
    )


class CSPBottleneck(nn.Module):
    """1x1 and 3x3 convolution; with a ``shortcut`` the input is added to what comes out."""

    def __init__(self, channels: int, *, norm: Norm, separable: bool, shortcut: bool) -> None:
        super().__init__()
        self.conv1 = ConvModule(channels, channels, 1, norm=norm, activation="silu")
        self.conv2 = conv3x3(channels, channels, norm=norm, separable=separable)
        self.has_shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv2(self.conv1(x))
        return x + out if self.has_shortcut else out


class CSPLayer(nn.Module):
    """Half the channels go through ``num_blocks`` bottlenecks, the other half past them.

    Children ``main_conv``, ``short_conv``, ``final_conv`` and ``blocks``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_blocks: int,
        *,
        norm: Norm,
        separable: bool,
        shortcut: bool,
    ) -> None:
        super().__init__()
        half = out_channels // 2
        self.main_conv = ConvModule(in_channels, half, 1, norm=norm, activation="silu")
        self.short_conv = ConvModule(in_channels, half, 1, norm=norm, activation="silu")
        self.final_conv = ConvModule(2 * half, out_channels, 1, norm=norm, activation="silu")
        self.blocks = nn.Sequential(
            *(
                CSPBottleneck(half, norm=norm, separable=separable, shortcut=shortcut)
                for _ in range(num_blocks)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        past = self.short_conv(x)
        through = self.blocks(self.main_conv(x))
        return self.final_conv(torch.cat([through, past], 1))
