"""CenterNet's upsampling neck (https://arxiv.org/abs/1904.07850)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import Channels, config
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.convolution import Convolution, PlainConvolution
from detzoo.layers.norm import BatchNorm, Norm
from detzoo.necks.base import Neck, NeckConfig


@config
class CTResNetNeckConfig(NeckConfig):
    """Upsamples the coarsest map step by step, each with a 3x3 convolution and a transposed
    convolution that doubles the resolution.

    Args:
        channels: Output channels of each step.
        convolution: Kind of the 3x3 convolutions.
        norm: Norm after each convolution.
    """

    channels: tuple[Channels, ...] = (256, 128, 64)
    convolution: Convolution = PlainConvolution()
    norm: Norm = BatchNorm()

    def build(self, in_channels: Sequence[int], in_strides: Sequence[int]) -> CTResNetNeck:
        return CTResNetNeck(self, in_channels, in_strides)


class CTResNetNeck(Neck):
    """Child ``deconv_layers``: convolutions and transposed convolutions, alternating."""

    def __init__(
        self, config: CTResNetNeckConfig, in_channels: Sequence[int], in_strides: Sequence[int]
    ) -> None:
        super().__init__()
        width = in_channels[-1]
        self.deconv_layers = nn.Sequential()
        for channels in config.channels:
            self.deconv_layers.append(
                ConvModule(
                    width,
                    channels,
                    3,
                    padding=1,
                    convolution=config.convolution,
                    norm=config.norm,
                )
            )
            self.deconv_layers.append(Doubling(channels, config.norm))
            width = channels
        self.out_channels = (width,)
        self.out_strides = (in_strides[-1] // 2 ** len(config.channels),)

    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (self.deconv_layers(features[-1]),)


class Doubling(nn.Module):
    """Transposed 4x4 convolution (child ``conv``) to twice the resolution, norm (``bn``), ReLU."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1, bias=False)
        self.bn = norm.build(channels)
        self._start_bilinear()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))

    @torch.no_grad()
    def _start_bilinear(self) -> None:
        """Initializes the kernels of the first output channel as bilinear interpolation."""
        size = self.conv.weight.shape[2]
        half = math.ceil(size / 2)
        middle = (2 * half - 1 - half % 2) / (2 * half)
        ramp = 1 - (torch.arange(size) / half - middle).abs()
        self.conv.weight[:, 0] = ramp[:, None] * ramp
