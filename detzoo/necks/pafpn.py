"""Path aggregation network (https://arxiv.org/abs/1803.01534)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from detzoo.config import config
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.module_list import ModuleList
from detzoo.necks.fpn import (
    FPN,
    FPNConfig,
    conv3x3,
    initialize_convs,
    top_down,
    with_extra_levels,
)


@config
class PAFPNConfig(FPNConfig):
    """Path aggregation network: an FPN, followed by a pathway from fine to coarse levels."""

    def build(self, in_channels: Sequence[int], in_strides: Sequence[int]) -> PAFPN:
        return PAFPN(self, in_channels, in_strides)


class PAFPN(FPN):
    """Children ``downsample_convs`` and ``pafpn_convs``, in addition to those of an FPN.

    Level 0 is that of the FPN. The previous level is downsampled and added to each further level.
    """

    def __init__(
        self, config: PAFPNConfig, in_channels: Sequence[int], in_strides: Sequence[int]
    ) -> None:
        super().__init__(config, in_channels, in_strides)
        channels = config.out_channels
        steps = range(len(self.lateral_convs) - 1)
        self.downsample_convs = ModuleList[ConvModule](
            conv3x3(channels, channels, 2, config) for _ in steps
        )
        self.pafpn_convs = ModuleList[ConvModule](
            conv3x3(channels, channels, 1, config) for _ in steps
        )
        initialize_convs(config, self.downsample_convs, self.pafpn_convs)

    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        used = features[self.config.start_level :]
        first, *rest = top_down(self.lateral_convs, self.fpn_convs, used, self.config.upsampling)
        summed, outputs = first, [first]
        for x, downsample, conv in zip(rest, self.downsample_convs, self.pafpn_convs):
            summed = downsample(summed, shortcut=x, reuse_shortcut=True)
            outputs.append(conv(summed))
        return with_extra_levels(self.config, self.fpn_convs, used, outputs)
