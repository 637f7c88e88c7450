"""YOLOv3's neck (https://arxiv.org/abs/1804.02767)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import Channels, ConfigError, config
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.norm import BatchNormConfig, NormConfig
from detzoo.necks.base import Neck, NeckConfig


@config
class YOLOv3NeckConfig(NeckConfig):
    """Top-down pathway that concatenates maps.

    Args:
        out_channels: Channels of the outputs, coarse to fine.
        norm: Norm after each convolution.
    """

    out_channels: tuple[Channels, ...] = (512, 256, 128)
    norm: NormConfig = BatchNormConfig()

    def build(self, in_channels: Sequence[int], in_strides: Sequence[int]) -> YOLOv3Neck:
        if len(self.out_channels) != len(in_channels):
            raise ConfigError(
                f"model.neck.out_channels: {len(self.out_channels)} values for the backbone's "
                f"{len(in_channels)} maps"
            )
        return YOLOv3Neck(self, in_channels, in_strides)


class YOLOv3Neck(Neck):
    """The input maps are fine to coarse, the outputs coarse to fine.

    Children are numbered from the coarsest map: ``detect1``, then ``conv1`` and ``detect2``, and so
    on.
    """

    def __init__(
        self, config: YOLOv3NeckConfig, in_channels: Sequence[int], in_strides: Sequence[int]
    ) -> None:
        super().__init__()
        self.out_channels = config.out_channels
        self.out_strides = tuple(reversed(in_strides))
        widths = tuple(reversed(in_channels))
        self.detect1 = _detection_block(widths[0], config.out_channels[0], config.norm)
        for number in range(1, len(widths)):
            above, out = config.out_channels[number - 1 : number + 1]
            conv = ConvModule(above, out, 1, norm=config.norm, activation="leaky_relu")
            detect = _detection_block(widths[number] + out, out, config.norm)
            self.add_module(f"conv{number}", conv)
            self.add_module(f"detect{number + 1}", detect)

    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        outputs = [self.detect1(features[-1])]
        for number, x in enumerate(reversed(features[:-1]), start=1):
            above = self.get_submodule(f"conv{number}")(outputs[-1])
            above = F.interpolate(above, size=x.shape[2:], mode="nearest")
            merged = torch.cat([above, x], 1)
            outputs.append(self.get_submodule(f"detect{number + 1}")(merged))
        return tuple(outputs)


def _detection_block(in_channels: int, channels: int, norm: NormConfig) -> nn.Module:
    """Five convolutions ``conv1`` to ``conv5``, alternately 1x1 and 3x3."""
    widths = (in_channels, channels, channels * 2, channels, channels * 2, channels)
    block = nn.Sequential()
    for number in range(5):
        size = 1 if number % 2 == 0 else 3
        conv = ConvModule(
            widths[number],
            widths[number + 1],
            size,
            padding=size // 2,
            norm=norm,
            activation="leaky_relu",
        )
        block.add_module(f"conv{number + 1}", conv)
    return block
