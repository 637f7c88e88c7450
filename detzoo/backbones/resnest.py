"""ResNeSt: split attention in ResNet-D (https://arxiv.org/abs/2004.08955)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.backbones.residual import (
    BlockLayers,
    Blocks,
    DeepStem,
    NumberedNorms,
    ResidualBlock,
    average_shortcut,
    conv1x1,
    conv3x3,
    initialized,
)
from detzoo.backbones.resnet import EXPANSION
from detzoo.backbones.staged import StagedBackbone, StagedConfig
from detzoo.config import Channels, config
from detzoo.layers.conv_norm_act import conv_norm_act
from detzoo.layers.norm import BatchNormConfig, NormConfig

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 200: (3, 24, 36, 3)}
BASE_CHANNELS = 64
RADIX = 2  # number of splits weighted by attention
REDUCTION = 4


@config
class ResNeStConfig(StagedConfig):
    """ResNeSt with two splits.

    Args:
        depth: Number of layers.
        stem_channels: Output channels of the stem.
    """

    depth: Literal[50, 101, 200] = 50
    stem_channels: Channels = 64
    norm: NormConfig = BatchNormConfig(synchronized=True)

    @property
    def architecture(self) -> str:
        return f"resnest{self.depth}"

    def build(self) -> ResNeSt:
        return ResNeSt(self)


class SplitAttention(NumberedNorms):
    """A 3x3 convolution into ``RADIX`` splits, summed with attention weights per channel.

    Norms ``bn0`` after ``conv`` and ``bn1`` after ``fc1``.
    """

    def __init__(self, channels: int, layers: BlockLayers) -> None:
        hidden = max(channels * RADIX // REDUCTION, 32)
        super().__init__(layers.norm, {0: channels * RADIX, 1: hidden})
        self.channels = channels
        self.conv = conv3x3(layers.convolution, channels, channels * RADIX, groups=RADIX)
        self.fc1 = initialized(nn.Conv2d(channels, hidden, 1))
        self.fc2 = initialized(nn.Conv2d(hidden, channels * RADIX, 1))
        for layer in (self.fc1, self.fc2):
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def conv_norm_pairs(self) -> Iterator[tuple[nn.Module, nn.Module]]:
        yield self.conv, self.norm(0)
        yield self.fc1, self.norm(1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        x = conv_norm_act(x, self.conv, self.norm(0), "relu")
        splits = x.unflatten(1, (RADIX, self.channels))
        context = splits.sum(1).mean((2, 3), keepdim=True)
        context = conv_norm_act(context, self.fc1, self.norm(1), "relu")
        attention = self.fc2(context).unflatten(1, (RADIX, self.channels)).softmax(1)
        return (attention * splits).sum(1)


class ResNeStBlock(ResidualBlock):
    """A bottleneck around split attention; downsamples by average pooling."""

    def __init__(self, in_channels: int, planes: int, *, stride: int, layers: BlockLayers) -> None:
        out_channels = planes * EXPANSION
        super().__init__(layers.norm, {1: planes, 3: out_channels})
        self.conv1 = conv1x1(layers.convolution, in_channels, planes)
        self.conv2 = SplitAttention(planes, layers)
        self.average: nn.Module = nn.AvgPool2d(3, stride, 1) if stride > 1 else nn.Identity()
        self.conv3 = conv1x1(layers.convolution, planes, out_channels)
        self.downsample = average_shortcut(in_channels, out_channels, stride, layers)

    def forward(self, x: Tensor, owns_input: bool = False) -> Tensor:
        shortcut, is_free = self.shortcut(x, owns_input)
        x = conv_norm_act(x, self.conv1, self.norm(1), "relu")
        x = self.average(self.conv2(x))
        return conv_norm_act(
            x, self.conv3, self.norm(3), "relu", shortcut=shortcut, reuse_shortcut=is_free
        )


class ResNeSt(StagedBackbone):
    """Child ``stem``, and stages ``layer1`` to ``layer4``."""

    def __init__(self, config: ResNeStConfig) -> None:
        super().__init__()
        self.stem = DeepStem(config.stem_channels, config.norm)
        layers = BlockLayers(norm=config.norm)
        channels = config.stem_channels
        stages, widths = [], []
        for index, num_blocks in enumerate(BLOCKS[config.depth]):
            planes = BASE_CHANNELS * 2**index
            stride = 1 if index == 0 else 2
            blocks = [ResNeStBlock(channels, planes, stride=stride, layers=layers)]
            channels = planes * EXPANSION
            for _ in range(num_blocks - 1):
                blocks.append(ResNeStBlock(channels, planes, stride=1, layers=layers))
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
