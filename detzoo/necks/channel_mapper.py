"""A neck that maps all features to the same number of channels (Deformable DETR,
https://arxiv.org/abs/2010.04159)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from detzoo.config import Channels, PositiveInt, config
from detzoo.errors import ConfigError
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.norm import GroupNormConfig, NormConfig
from detzoo.necks.base import Neck, NeckConfig
from detzoo.necks.fpn import halved


@config
class ChannelMapperConfig(NeckConfig):
    """1x1 convolutions on the backbone's maps, and 3x3 convolutions of stride 2 for additional
    outputs, the first of which is computed from the last backbone map.

    Args:
        out_channels: Channels of every output.
        num_outputs: Number of outputs, at least one per backbone map.
        norm: Norm after each convolution.
    """

    out_channels: Channels = 256
    num_outputs: PositiveInt = 4
    norm: NormConfig = GroupNormConfig(groups=32)

    def build(self, in_channels: Sequence[int], in_strides: Sequence[int]) -> ChannelMapper:
        if self.num_outputs < len(in_channels):
            raise ConfigError(
                f"model.neck.num_outputs: {self.num_outputs} is fewer than the "
                f"{len(in_channels)} backbone maps"
            )
        return ChannelMapper(self, in_channels, in_strides)


class ChannelMapper(Neck):
    """Children ``convs`` and, for additional outputs, ``extra_convs``."""

    def __init__(
        self, config: ChannelMapperConfig, in_channels: Sequence[int], in_strides: Sequence[int]
    ) -> None:
        super().__init__()
        channels, num_extra = config.out_channels, config.num_outputs - len(in_channels)
        self.convs = nn.ModuleList(
            ConvModule(width, channels, 1, norm=config.norm, activation="none")
            for width in in_channels
        )
        self.extra_convs = nn.ModuleList(
            ConvModule(
                in_channels[-1] if number == 0 else channels,
                channels,
                3,
                stride=2,
                padding=1,
                norm=config.norm,
                activation="none",
            )
            for number in range(num_extra)
        )
        self.out_channels = (channels,) * config.num_outputs
        extra_strides = (in_strides[-1] * 2 ** (n + 1) for n in range(num_extra))
        self.out_strides = (*in_strides, *extra_strides)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)

    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        outputs = [conv(x) for conv, x in zip(self.convs, features)]
        x = features[-1]
        for conv in self.extra_convs:
            x = halved(x, conv)
            outputs.append(x)
        return tuple(outputs)
