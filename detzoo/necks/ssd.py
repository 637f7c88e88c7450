"""SSD's extra levels (https://arxiv.org/abs/1512.02325)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from detzoo.config import Channels, ConfigError, NonNegativeInt, PositiveFloat, PositiveInt, config
from detzoo.layers.activations import Activation
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.norm import NormConfig
from detzoo.layers.separable import SeparableConv
from detzoo.necks.base import Neck, NeckConfig


@config
class SSDNeckConfig(NeckConfig):
    """Adds increasingly coarse maps to the backbone's, each computed from the previous one: a 1x1
    convolution to half the channels, then a 3x3 one.

    Args:
        channels: Channels of each additional map.
        strides: Stride of each 3x3 convolution.
        paddings: Padding of each 3x3 convolution.
        last_kernel_size: Kernel size of the last level instead of 3.
        l2_norm_scale: Initial scale of the L2 normalization of the first backbone map; None: not
            normalized.
        separable_norm: Norm of the convolutions of SSDLite, whose 3x3 convolutions are separable;
            None: plain SSD.
    """

    channels: tuple[Channels, ...] = (512, 256, 256, 256)
    strides: tuple[PositiveInt, ...] = (2, 2, 1, 1)
    paddings: tuple[NonNegativeInt, ...] = (1, 1, 0, 0)
    last_kernel_size: PositiveInt = 3
    l2_norm_scale: PositiveFloat | None = 20.0
    separable_norm: NormConfig | None = None

    def __post_init__(self) -> None:
        for name in ("strides", "paddings"):
            if len(getattr(self, name)) != len(self.channels):
                raise ConfigError(
                    f"{name}: {len(getattr(self, name))} values for {len(self.channels)} channels"
                )

    def build(self, in_channels: Sequence[int], in_strides: Sequence[int]) -> SSDNeck:
        return SSDNeck(self, in_channels, in_strides)


class SSDNeck(Neck):
    """Children ``extra_layers`` and, with ``l2_norm_scale``, ``l2_norm``."""

    def __init__(
        self, config: SSDNeckConfig, in_channels: Sequence[int], in_strides: Sequence[int]
    ) -> None:
        super().__init__()
        self.l2_norm: nn.Module = nn.Identity()
        if config.l2_norm_scale is not None:
            self.l2_norm = L2Norm(in_channels[0], config.l2_norm_scale)
        channels, strides = list(in_channels), list(in_strides)
        self.extra_layers = nn.ModuleList()
        for number, width in enumerate(config.channels):
            is_last = number == len(config.channels) - 1
            kernel_size = config.last_kernel_size if is_last else 3
            stride = config.strides[number]
            self.extra_layers.append(
                _level(config, channels[-1], width, kernel_size, stride, config.paddings[number])
            )
            channels.append(width)
            strides.append(strides[-1] * stride)
        self.out_channels, self.out_strides = tuple(channels), tuple(strides)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                if config.separable_norm is None:
                    nn.init.xavier_uniform_(module.weight)
                else:
                    nn.init.trunc_normal_(module.weight, std=0.03)

    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        outputs = [self.l2_norm(features[0]), *features[1:]]
        x = features[-1]
        for layer in self.extra_layers:
            x = layer(x)
            outputs.append(x)
        return tuple(outputs)


class L2Norm(nn.Module):
    """Normalizes the channels of every cell to length one, then scales them by ``weight``."""

    eps = 1e-10

    def __init__(self, channels: int, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), scale))

    def forward(self, x: Tensor) -> Tensor:
        values = x.float()  # squares of large values overflow in half precision
        length = values.square().sum(1, keepdim=True).sqrt() + self.eps
        return (self.weight[:, None, None] * values / length).to(x.dtype)


def _level(
    config: SSDNeckConfig, in_channels: int, width: int, kernel_size: int, stride: int, padding: int
) -> nn.Sequential:
    norm = config.separable_norm
    activation: Activation = "relu" if norm is None else "relu6"
    squeeze = ConvModule(in_channels, width // 2, 1, norm=norm, activation=activation)
    if norm is None:
        expand: nn.Module = ConvModule(
            width // 2, width, kernel_size, stride=stride, padding=padding
        )
    else:
        expand = SeparableConv(
            width // 2,
            width,
            kernel_size,
            stride=stride,
            padding=padding,
            norm=norm,
            activation=activation,
        )
    return nn.Sequential(squeeze, expand)
