"""Depthwise separable convolution (https://arxiv.org/abs/1704.04861)."""

from __future__ import annotations

from torch import Tensor, nn

from detzoo.layers.activations import Activation
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.norm import NormConfig


class SeparableConv(nn.Module):
    """Filters each channel separately, then mixes the channels with a 1x1 convolution.

    Children ``depthwise_conv`` and ``pointwise_conv``, each with norm and activation.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        norm: NormConfig,
        activation: Activation,
    ) -> None:
        super().__init__()
        self.depthwise_conv = ConvModule(
            in_channels,
            in_channels,
            kernel_size,
            stride=stride,
            padding=padding,
            groups=in_channels,
            norm=norm,
            activation=activation,
        )
        self.pointwise_conv = ConvModule(
            in_channels, out_channels, 1, norm=norm, activation=activation
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise_conv(self.depthwise_conv(x))
