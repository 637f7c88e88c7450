"""Darknet-53, the backbone of YOLOv3 (https://arxiv.org/abs/1804.02767)."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict

from torch import Tensor, nn

from detzoo.backbones.base import Backbone, BackboneConfig
from detzoo.config import config
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.norm import BatchNormConfig, NormConfig

STEM_CHANNELS = 32
# Channels and blocks of each stage.
STAGES = ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4))


@config
class DarknetConfig(BackboneConfig):
    """Darknet-53; returns maps of stride 8, 16 and 32.

    Args:
        norm: Norm after each convolution.
    """

    norm: NormConfig = BatchNormConfig(fixed_statistics=True)

    @property
    def architecture(self) -> str:
        return "darknet53"

    def build(self) -> Darknet:
        return Darknet(self)

    def from_scratch(self) -> DarknetConfig:
        return dataclasses.replace(self, pretrained=None, norm=self.norm.from_scratch())


class Darknet(Backbone):
    """Children ``conv1`` and ``conv_res_block1`` to ``conv_res_block5``; the last three are
    returned."""

    def __init__(self, config: DarknetConfig) -> None:
        super().__init__()
        self.conv1 = _conv(3, STEM_CHANNELS, 3, 1, config.norm)
        channels = STEM_CHANNELS
        for index, (width, num_blocks) in enumerate(STAGES):
            layers = OrderedDict[str, nn.Module](conv=_conv(channels, width, 3, 2, config.norm))
            for number in range(num_blocks):
                layers[f"res{number}"] = DarknetBlock(width, config.norm)
            self.add_module(f"conv_res_block{index + 1}", nn.Sequential(layers))
            channels = width
        self.out_channels = (256, 512, 1024)
        self.out_strides = (8, 16, 32)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.conv1(x)
        outputs = []
        for index in range(len(STAGES)):
            x = self.get_submodule(f"conv_res_block{index + 1}")(x)
            outputs.append(x)
        return tuple(outputs[2:])

    def frozen_modules(self) -> list[nn.Module]:
        return []


class DarknetBlock(nn.Module):
    """A 1x1 convolution to half the channels and a 3x3 one back, with a shortcut."""

    def __init__(self, channels: int, norm: NormConfig) -> None:
        super().__init__()
        self.conv1 = _conv(channels, channels // 2, 1, 1, norm)
        self.conv2 = _conv(channels // 2, channels, 3, 1, norm)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.conv1(x))


def _conv(
    in_channels: int, out_channels: int, size: int, stride: int, norm: NormConfig
) -> ConvModule:
    return ConvModule(
        in_channels,
        out_channels,
        size,
        stride=stride,
        padding=size // 2,
        norm=norm,
        activation="leaky_relu",
    )
