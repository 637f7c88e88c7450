"""Res2Net (https://arxiv.org/abs/1904.01169) with the stem and shortcuts of ResNet-D."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.backbones.residual import (
    BlockLayers,
    Blocks,
    DeepStem,
    ResidualBlock,
    average_shortcut,
    conv1x1,
    conv3x3,
)
from detzoo.backbones.resnet import BLOCKS, EXPANSION
from detzoo.backbones.staged import StagedBackbone, StagedConfig
from detzoo.config import config
from detzoo.layers.conv_norm_act import conv_norm_act
from detzoo.layers.convolution import DeformConvConfig, PlainConvConfig

SCALES = 4
BASE_WIDTH = 26  # channels of each scale for 64 planes, as in the first stage
BASE_CHANNELS = 64


@config
class Res2NetConfig(StagedConfig):
    """Res2Net with four scales of width 26 ("v1d").

    Args:
        depth: Number of layers.
        deformable: Kind of the 3x3 convolutions from the second stage on; None: plain ones.
    """

    depth: Literal[50, 101, 152] = 101
    deformable: DeformConvConfig | None = None

    @property
    def architecture(self) -> str:
        return f"res2net{self.depth}_v1d_{BASE_WIDTH}w_{SCALES}s"

    def build(self) -> Res2Net:
        return Res2Net(self)


class Res2NetBlock(ResidualBlock):
    """A bottleneck with hierarchical 3x3 convolutions over four groups of channels.

    Children ``convs`` and ``bns`` process the first three groups. Each but the first also receives
    the output of the previous group, except in the ``first`` block of a stage. The fourth group is
    unchanged, or average-pooled if the block downsamples.
    """

    def __init__(
        self, in_channels: int, planes: int, *, stride: int, first: bool, layers: BlockLayers
    ) -> None:
        self.width = planes * BASE_WIDTH // BASE_CHANNELS
        within, out_channels = self.width * SCALES, planes * EXPANSION
        super().__init__(layers.norm, {1: within, 3: out_channels})
        self.conv1 = conv1x1(layers.convolution, in_channels, within)
        parts = range(SCALES - 1)
        self.convs = nn.ModuleList(
            conv3x3(layers.spatial, self.width, self.width, stride) for _ in parts
        )
        self.bns = nn.ModuleList(layers.norm.build(self.width) for _ in parts)
        self.conv3 = conv1x1(layers.convolution, within, out_channels)
        self.cascades = not first
        self.pool: nn.Module = nn.AvgPool2d(3, stride, 1) if stride > 1 else nn.Identity()
        self.downsample = nn.Identity()
        if first:
            self.downsample = average_shortcut(in_channels, out_channels, stride, layers)

    def conv_norm_pairs(self) -> Iterator[tuple[nn.Module, nn.Module]]:
        yield from super().conv_norm_pairs()
        yield from zip(self.convs, self.bns)

    def forward(self, x: Tensor, owns_input: bool = False) -> Tensor:
        shortcut, is_free = self.shortcut(x, owns_input)
        x = conv_norm_act(x, self.conv1, self.norm(1), "relu")
        *parts, last = x.split(self.width, 1)
        outputs: list[Tensor] = []
        for part, conv, norm in zip(parts, self.convs, self.bns):
            if self.cascades and outputs:
                part = part + outputs[-1]
            outputs.append(conv_norm_act(part, conv, norm, "relu"))
        x = torch.cat([*outputs, self.pool(last)], 1)
        return conv_norm_act(
            x, self.conv3, self.norm(3), "relu", shortcut=shortcut, reuse_shortcut=is_free
        )


class Res2Net(StagedBackbone):
    """Child ``stem``, and stages ``layer1`` to ``layer4``."""

    def __init__(self, config: Res2NetConfig) -> None:
        super().__init__()
        self.stem = DeepStem(BASE_CHANNELS, config.norm)
        channels = BASE_CHANNELS
        stages, widths = [], []
        for index, num_blocks in enumerate(BLOCKS[config.depth]):
            deformable = config.deformable if index > 0 else None
            layers = BlockLayers(norm=config.norm, spatial=deformable or PlainConvConfig())
            planes = BASE_CHANNELS * 2**index
            stride = 1 if index == 0 else 2
            blocks = [Res2NetBlock(channels, planes, stride=stride, first=True, layers=layers)]
            channels = planes * EXPANSION
            for _ in range(num_blocks - 1):
                blocks.append(Res2NetBlock(channels, planes, stride=1, first=False, layers=layers))
            stages.append(Blocks(*blocks))
            widths.append(channels)
        self.add_stages(
            stages,
            channels=widths,
            strides=(4, 8, 16, 32),
            out_stages=config.out_stages,
            frozen_stages=config.frozen_stages,
            checkpoint_activations=config.checkpoint_activations,
        )

    def stem_modules(self) -> list[nn.Module]:
        return [self.stem]

    def stem_features(self, x: Tensor) -> Tensor:
        return F.max_pool2d(self.stem(x), 3, stride=2, padding=1)
