"""ResNet and ResNeXt (https://arxiv.org/abs/1512.03385, https://arxiv.org/abs/1611.05431)."""

from __future__ import annotations

import dataclasses
from typing import Literal, cast

import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.backbones.base import Backbone, BackboneConfig
from detzoo.config import config
from detzoo.errors import ConfigError
from detzoo.layers.checkpoint import run_stage
from detzoo.layers.convolution import Conv2d
from detzoo.layers.norm import BatchNorm, Norm, NormLayer

BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
Style = Literal["pytorch", "caffe"]


@config
class ResNetConfig(BackboneConfig):
    """ResNet; with ``groups`` over 1, ResNeXt.

    ``style`` says where a bottleneck halves the resolution: on its 3x3 convolution ("pytorch") or
    on its first 1x1 ("caffe"). ``frozen_stages`` n keeps the stem and the first n stages as they
    are; 0 the stem alone, -1 nothing. ``out_stages`` are the stages (from 0) that are returned.
    """

    depth: Literal[18, 34, 50, 101, 152] = 50
    style: Style = "pytorch"
    strides: tuple[int, ...] = (1, 2, 2, 2)
    dilations: tuple[int, ...] = (1, 1, 1, 1)
    out_stages: tuple[int, ...] = (0, 1, 2, 3)
    frozen_stages: int = 1
    norm: Norm = BatchNorm(fixed_statistics=True)
    groups: int = 1
    width_per_group: int = 64
    # Width of the stem and of the first stage; published weights have 64.
    base_channels: int = 64
    checkpoint_activations: bool = False

    def __post_init__(self) -> None:
        stages = len(self.strides)
        if not 1 <= stages <= 4 or len(self.dilations) != stages:
            raise ConfigError(
                f"dilations: {len(self.dilations)} values for {stages} strides; "
                "both need one value for each of at most four stages"
            )
        if not self.out_stages or not set(self.out_stages) <= set(range(stages)):
            raise ConfigError(f"out_stages: {self.out_stages} are not among {stages} stages")
        if not -1 <= self.frozen_stages <= stages:
            raise ConfigError(f"frozen_stages: {self.frozen_stages} is not in -1..{stages}")
        if self.depth < 50 and self.groups > 1:
            raise ConfigError(f"groups: ResNet-{self.depth} has no grouped convolutions")
        if self.depth >= 50 and self.base_channels * self.width_per_group < 64:
            raise ConfigError(
                f"width_per_group: {self.width_per_group} leaves no channel at base_channels "
                f"{self.base_channels}; their product must be at least 64"
            )

    @property
    def architecture(self) -> str:
        if self.groups == 1:
            return f"resnet{self.depth}"
        return f"resnext{self.depth}_{self.groups}x{self.width_per_group}d"

    def build(self) -> ResNet:
        return ResNet(self)

    def from_scratch(self) -> ResNetConfig:
        return dataclasses.replace(self, pretrained=None, frozen_stages=-1, norm=BatchNorm())


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut."""

    expansion = 1

    def __init__(
        self, in_channels: int, planes: int, stride: int, dilation: int, config: ResNetConfig
    ) -> None:
        super().__init__()
        self.conv1 = _conv3x3(in_channels, planes, stride, dilation)
        self.bn1 = config.norm.build(planes)
        self.conv2 = _conv3x3(planes, planes, 1, 1)
        self.bn2 = config.norm.build(planes)
        self.downsample = _shortcut(in_channels, planes, stride, config.norm)
        nn.init.zeros_(self.bn2.weight)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.downsample(x)
        x = F.relu(self.bn1.follow(self.conv1, x), inplace=True)
        x = self.bn2.follow(self.conv2, x)
        return F.relu(x + shortcut, inplace=True)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolution with a shortcut; four times as many channels out as within."""

    expansion = 4

    def __init__(
        self, in_channels: int, planes: int, stride: int, dilation: int, config: ResNetConfig
    ) -> None:
        super().__init__()
        width = planes * config.width_per_group // 64 * config.groups
        out_channels = planes * self.expansion
        stride1, stride2 = (1, stride) if config.style == "pytorch" else (stride, 1)
        self.conv1 = Conv2d(in_channels, width, 1, stride1, bias=False)
        self.bn1 = config.norm.build(width)
        self.conv2 = _conv3x3(width, width, stride2, dilation, config.groups)
        self.bn2 = config.norm.build(width)
        self.conv3 = Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = config.norm.build(out_channels)
        self.downsample = _shortcut(in_channels, out_channels, stride, config.norm)
        nn.init.zeros_(self.bn3.weight)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.downsample(x)
        x = F.relu(self.bn1.follow(self.conv1, x), inplace=True)
        x = F.relu(self.bn2.follow(self.conv2, x), inplace=True)
        x = self.bn3.follow(self.conv3, x)
        return F.relu(x + shortcut, inplace=True)


class Shortcut(nn.Sequential):
    """1x1 convolution (child ``0``) and norm (child ``1``) where a block changes the shape."""

    def forward(self, x: Tensor) -> Tensor:
        conv, norm = cast(tuple[Conv2d, NormLayer], tuple(self))
        return norm.follow(conv, x)


class ResNet(Backbone):
    """Stem and stages ``layer1`` to ``layer4``, named as in published checkpoints."""

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.config = config
        base = config.base_channels
        self.conv1 = Conv2d(3, base, 7, stride=2, padding=3, bias=False)
        self.bn1 = config.norm.build(base)
        channels = base
        widths, strides, stride = [], [], 4
        for index in range(len(config.strides)):
            stage = build_stage(config, index, channels)
            self.add_module(f"layer{index + 1}", stage)
            channels = stage_channels(config, index)
            stride *= config.strides[index]
            widths.append(channels)
            strides.append(stride)
        self.out_channels = tuple(widths[i] for i in config.out_stages)
        self.out_strides = tuple(strides[i] for i in config.out_stages)
        _initialise(self)
        # Checkpoints hold every stage; those past the last output take no part in training.
        unused = range(max(config.out_stages) + 1, len(config.strides))
        stages = [self.get_submodule(f"layer{index + 1}") for index in unused]
        for module in [*self.frozen_modules(), *stages]:
            module.requires_grad_(False)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = F.relu(self.bn1.follow(self.conv1, x), inplace=True)
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        outputs = []
        for index in range(max(self.config.out_stages) + 1):
            stage = self.get_submodule(f"layer{index + 1}")
            x = run_stage(stage, x, self.config.checkpoint_activations)
            if index in self.config.out_stages:
                outputs.append(x)
        return tuple(outputs)

    def frozen_modules(self) -> list[nn.Module]:
        stages = [self.get_submodule(f"layer{n + 1}") for n in range(self.config.frozen_stages)]
        return [] if self.config.frozen_stages < 0 else [self.conv1, self.bn1, *stages]


def build_stage(config: ResNetConfig, index: int, in_channels: int) -> nn.Sequential:
    """The blocks of stage ``index``, from 0."""
    block = BasicBlock if config.depth < 50 else Bottleneck
    planes = config.base_channels * 2**index
    stride, dilation = config.strides[index], config.dilations[index]
    blocks = []
    for number in range(BLOCKS[config.depth][index]):
        blocks.append(block(in_channels, planes, stride if number == 0 else 1, dilation, config))
        in_channels = planes * block.expansion
    return nn.Sequential(*blocks)


def stage_channels(config: ResNetConfig, index: int) -> int:
    """Channels that stage ``index`` returns."""
    expansion = BasicBlock.expansion if config.depth < 50 else Bottleneck.expansion
    return config.base_channels * 2**index * expansion


def _conv3x3(
    in_channels: int, out_channels: int, stride: int, dilation: int, groups: int = 1
) -> Conv2d:
    return Conv2d(in_channels, out_channels, 3, stride, dilation, dilation, groups, bias=False)


def _shortcut(in_channels: int, out_channels: int, stride: int, norm: Norm) -> nn.Module:
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    conv = Conv2d(in_channels, out_channels, 1, stride, bias=False)
    return Shortcut(conv, norm.build(out_channels))


def _initialise(module: nn.Module) -> None:
    for conv in module.modules():
        if isinstance(conv, nn.Conv2d):
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
