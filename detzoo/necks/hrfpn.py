"""HRNet's feature pyramid (HRNetV2p, https://arxiv.org/abs/1904.04514)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import Channels, PositiveInt, config
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.necks.base import Neck, NeckConfig


@config
class HRFPNConfig(NeckConfig):
    """Upsamples all maps to the finest, fuses them into one, and average-pools it to all levels.

    Args:
        out_channels: Channels of every output.
        num_outputs: Number of outputs.
        stride: Stride of the convolution of each level.
    """

    out_channels: Channels = 256
    num_outputs: PositiveInt = 5
    stride: PositiveInt = 1

    def build(self, in_channels: Sequence[int], in_strides: Sequence[int]) -> HRFPN:
        return HRFPN(self, in_channels, in_strides)


class HRFPN(Neck):
    """Children ``reduction_conv`` and ``fpn_convs``."""

    def __init__(
        self, config: HRFPNConfig, in_channels: Sequence[int], in_strides: Sequence[int]
    ) -> None:
        super().__init__()
        channels = config.out_channels
        self.reduction_conv = ConvModule(sum(in_channels), channels, 1, activation="none")
        self.fpn_convs = nn.ModuleList(
            ConvModule(channels, channels, 3, stride=config.stride, padding=1, activation="none")
            for _ in range(config.num_outputs)
        )
        self.out_channels = (channels,) * config.num_outputs
        finest = in_strides[0] * config.stride
        self.out_strides = tuple(finest * 2**level for level in range(config.num_outputs))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)

    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        finest, *coarser = features
        size = finest.shape[2:]
        upsampled = [
            F.interpolate(x, size=size, mode="bilinear", align_corners=False) for x in coarser
        ]
        mixed = self.reduction_conv(torch.cat([finest, *upsampled], 1))
        outputs = []
        for level, conv in enumerate(self.fpn_convs):
            outputs.append(conv(F.avg_pool2d(mixed, 2**level) if level > 0 else mixed))
        return tuple(outputs)
