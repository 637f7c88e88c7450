"""Feature pyramid with content-aware upsampling (CARAFE, https://arxiv.org/abs/1905.02188)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from detzoo.config import Channels, PositiveInt, config
from detzoo.errors import ConfigError
from detzoo.layers.carafe import CARAFE
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.module_list import ModuleList
from detzoo.necks.base import Neck, NeckConfig


@config
class FPNCARAFEConfig(NeckConfig):
    """FPN that upsamples with CARAFE. An additional level is computed from the last backbone map by
    a stride-2 convolution, and is part of the top-down pathway.

    Args:
        out_channels: Channels of every output.
        num_outputs: Number of outputs: one per backbone map, or one more.
    """

    out_channels: Channels = 256
    num_outputs: PositiveInt = 5

    def build(self, in_channels: Sequence[int], in_strides: Sequence[int]) -> FPNCARAFE:
        if not len(in_channels) <= self.num_outputs <= len(in_channels) + 1:
            raise ConfigError(
                f"model.neck.num_outputs: {self.num_outputs}, but the backbone has "
                f"{len(in_channels)} maps; use that number or one more"
            )
        return FPNCARAFE(self, in_channels, in_strides)


class FPNCARAFE(Neck):
    """Children ``lateral_convs``, ``fpn_convs``, ``upsample_modules``."""

    def __init__(
        self, config: FPNCARAFEConfig, in_channels: Sequence[int], in_strides: Sequence[int]
    ) -> None:
        super().__init__()
        self.config = config
        channels = config.out_channels
        self.lateral_convs = ModuleList[ConvModule](
            ConvModule(width, channels, 1, activation="none") for width in in_channels
        )
        strides = list(in_strides)
        if config.num_outputs > len(in_channels):
            self.lateral_convs.append(
                ConvModule(in_channels[-1], channels, 3, stride=2, padding=1, activation="none")
            )
            strides.append(2 * strides[-1])
        self.fpn_convs = ModuleList[ConvModule](
            ConvModule(channels, channels, 3, padding=1, activation="none") for _ in strides
        )
        self.upsample_modules = ModuleList[CARAFE](CARAFE(channels) for _ in strides[1:])
        self.out_channels = (channels,) * config.num_outputs
        self.out_strides = tuple(strides)
        for conv in (*self.lateral_convs, *self.fpn_convs):
            nn.init.xavier_uniform_(conv.conv.weight)

    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        sources = [*features, features[-1]][: self.config.num_outputs]
        laterals = [conv(x) for conv, x in zip(self.lateral_convs, sources)]
        for level in range(len(laterals) - 1, 0, -1):
            height, width = laterals[level - 1].shape[2:]
            above = self.upsample_modules[level - 1](laterals[level])
            laterals[level - 1] = laterals[level - 1] + above[:, :, :height, :width]
        return tuple(conv(x) for conv, x in zip(self.fpn_convs, laterals))
