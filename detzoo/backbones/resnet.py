"""ResNet and ResNeXt (https://arxiv.org/abs/1512.03385, https://arxiv.org/abs/1611.05431)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.backbones.base import BackboneConfig
from detzoo.backbones.residual import (
    BasicBlock,
    BlockLayers,
    Blocks,
    Bottleneck,
    DeepStem,
    ResidualBlock,
    Style,
    initialized,
)
from detzoo.backbones.staged import StagedBackbone, check_stages
from detzoo.config import Channels, NonNegativeInt, PositiveFloat, PositiveInt, config
from detzoo.errors import ConfigError
from detzoo.layers.conv_norm_act import conv_norm_act
from detzoo.layers.convolution import ConvConfig, PlainConvConfig
from detzoo.layers.generalized_attention import GeneralizedAttentionConfig
from detzoo.layers.norm import BatchNormConfig, NormConfig, NormLayer
from detzoo.layers.switchable import AdaptiveConvConfig

BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
EXPANSION = 4  # ratio of a bottleneck's output channels to the planes of its stage
CONTEXT_STAGES = (1, 2, 3)


@config
class ResNetConfig(BackboneConfig):
    """ResNet, or ResNeXt if ``groups`` is greater than 1.

    Args:
        depth: Number of layers.
        style: Where a bottleneck downsamples: its 3x3 convolution ("pytorch") or its first 1x1
            ("caffe").
        strides: Stride of each stage.
        dilations: Dilation of the 3x3 convolutions in each stage.
        out_stages: Stages, counted from 0, whose feature maps are returned.
        frozen_stages: Number of stages kept fixed along with the stem; 0 freezes the stem alone, -1
            nothing.
        norm: Norm after each convolution.
        convolution: Kind of all convolutions except those that ``deformable`` replaces.
        deformable: Kind of the bottlenecks' 3x3 convolutions in ``deformable_stages``; None:
            ``convolution``.
        deformable_stages: Stages, counted from 0, in which ``deformable`` applies.
        context_ratio: Bottleneck ratio of the context blocks (GCNet) from the second stage on;
            None: no context blocks.
        attention: Attention after the bottlenecks' 3x3 convolutions in ``attention_stages``; None:
            no attention.
        attention_stages: Stages, counted from 0, in which ``attention`` applies.
        deep_stem: Whether the stem has three 3x3 convolutions instead of one of 7x7 (ResNet-C,
            https://arxiv.org/abs/1812.01187).
        average_shortcuts: Whether shortcuts average before they change the channels (ResNet-D, same
            paper), instead of skipping cells.
        zero_init: Start the last norm of each block at zero, so that a fresh block is its shortcut.
        returns_image: Return the pixels as an additional first map of stride 1, for a recursive
            pyramid.
        groups: Groups of the bottlenecks' 3x3 convolutions.
        width_per_group: Channels per group in the first stage.
        base_channels: Channels of the stem and planes of the first stage; published weights have
            64.
        checkpoint_activations: Recompute activations in the backward pass, to save memory.
    """

    depth: Literal[18, 34, 50, 101, 152] = 50
    style: Style = "pytorch"
    strides: tuple[PositiveInt, ...] = (1, 2, 2, 2)
    dilations: tuple[PositiveInt, ...] = (1, 1, 1, 1)
    out_stages: tuple[NonNegativeInt, ...] = (0, 1, 2, 3)
    frozen_stages: int = 1
    norm: NormConfig = BatchNormConfig(fixed_statistics=True)
    convolution: ConvConfig = PlainConvConfig()
    deformable: ConvConfig | None = None
    deformable_stages: tuple[NonNegativeInt, ...] = (1, 2, 3)
    context_ratio: PositiveFloat | None = None
    attention: GeneralizedAttentionConfig | None = None
    attention_stages: tuple[NonNegativeInt, ...] = (2, 3)
    deep_stem: bool = False
    average_shortcuts: bool = False
    zero_init: bool = True
    returns_image: bool = False
    groups: PositiveInt = 1
    width_per_group: Channels = 64
    base_channels: Channels = 64
    checkpoint_activations: bool = False

    def __post_init__(self) -> None:
        stages = len(self.strides)
        if not 1 <= stages <= 4 or len(self.dilations) != stages:
            raise ConfigError(
                f"dilations: {len(self.dilations)} values for {stages} strides; give one of each "
                "per stage, for one to four stages"
            )
        check_stages(self.out_stages, self.frozen_stages, stages)
        if self.depth < 50:
            self._check_basic()
        elif self.base_channels * self.width_per_group < 64:
            raise ConfigError(
                f"width_per_group: {self.width_per_group} leaves no channels with base_channels "
                f"{self.base_channels}; their product must be at least 64"
            )

    def _check_basic(self) -> None:
        if self.groups > 1:
            raise ConfigError(
                f"groups: ResNet-{self.depth} has no grouped convolutions; use depth 50 or more"
            )
        for name in ("deformable", "context_ratio", "attention"):
            if getattr(self, name) is not None:
                raise ConfigError(
                    f"{name}: ResNet-{self.depth} has no bottlenecks; use depth 50 or more"
                )

    @property
    def architecture(self) -> str:
        if self.groups == 1:
            is_d = self.deep_stem and self.average_shortcuts
            return f"resnet{self.depth}_v1d" if is_d else f"resnet{self.depth}"
        return f"resnext{self.depth}_{self.groups}x{self.width_per_group}d"

    def build(self) -> ResNet:
        return ResNet(self)

    def from_scratch(self) -> ResNetConfig:
        return dataclasses.replace(
            self, pretrained=None, frozen_stages=-1, norm=self.norm.from_scratch()
        )


class ResNet(StagedBackbone):
    """Stem ``conv1`` with its norm ``bn1`` or ``gn1``, or a deep ``stem``, and stages ``layer1`` to
    ``layer4``."""

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.config = config
        base = config.base_channels
        self.norm_name = f"{config.norm.child_name}1"
        if config.deep_stem:
            self.stem = DeepStem(base, config.norm, config.convolution)
        else:
            self.conv1 = initialized(config.convolution.build(3, base, 7, stride=2, padding=3))
            self.add_module(self.norm_name, config.norm.build(base))
        channels, stride = base, 4
        stages, widths, strides = [], [], []
        for index in range(len(config.strides)):
            stages.append(build_stage(config, index, channels))
            channels = stage_channels(config, index)
            stride *= config.strides[index]
            widths.append(channels)
            strides.append(stride)
        self.add_stages(
            stages,
            channels=widths,
            strides=strides,
            out_stages=config.out_stages,
            frozen_stages=config.frozen_stages,
            checkpoint_activations=config.checkpoint_activations,
        )
        if config.returns_image:
            self.out_channels = (3, *self.out_channels)
            self.out_strides = (1, *self.out_strides)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        features = super().forward(x)
        return (x, *features) if self.config.returns_image else features

    def conv_norm_pairs(self) -> Iterator[tuple[nn.Module, nn.Module]]:
        if not self.config.deep_stem:
            yield self.conv1, self.norm1

    def stem_modules(self) -> list[nn.Module]:
        return [self.stem] if self.config.deep_stem else [self.conv1, self.norm1]

    def stem_features(self, x: Tensor) -> Tensor:
        if self.config.deep_stem:
            x = self.stem(x)
        else:
            x = conv_norm_act(x, self.conv1, self.norm1, "relu")
        return F.max_pool2d(x, 3, stride=2, padding=1)

    @property
    def norm1(self) -> NormLayer:
        return getattr(self, self.norm_name)


def build_stage(config: ResNetConfig, index: int, in_channels: int) -> nn.Sequential:
    """Builds the blocks of stage ``index``, counted from 0."""
    layers = block_layers(config, index)
    out_channels = stage_channels(config, index)
    width = stage_width(config, index)
    blocks: list[ResidualBlock] = []
    for number in range(BLOCKS[config.depth][index]):
        stride = config.strides[index] if number == 0 else 1
        dilation = config.dilations[index]
        if config.depth < 50:
            block: ResidualBlock = BasicBlock(
                in_channels, out_channels, stride=stride, dilation=dilation, layers=layers
            )
        else:
            block = Bottleneck(
                in_channels,
                width,
                out_channels,
                stride=stride,
                dilation=dilation,
                groups=config.groups,
                style=config.style,
                layers=layers,
            )
        blocks.append(block)
        in_channels = out_channels
    return Blocks(*blocks)


def stage_channels(config: ResNetConfig, index: int) -> int:
    """The output channels of stage ``index``."""
    return config.base_channels * 2**index * (1 if config.depth < 50 else EXPANSION)


def stage_width(config: ResNetConfig, index: int) -> int:
    """The channels inside the bottlenecks of stage ``index``."""
    return config.base_channels * 2**index * config.width_per_group // 64 * config.groups


def block_layers(config: ResNetConfig, index: int) -> BlockLayers:
    """The layers of the blocks of stage ``index``."""
    spatial = config.convolution
    if config.deformable is not None and index in config.deformable_stages:
        spatial = config.deformable
    averages = config.average_shortcuts
    if config.strides[index] == 1 and isinstance(config.convolution, AdaptiveConvConfig):
        averages = False  # of one cell, which V2's DetectoRS leaves out, and others do not
    return BlockLayers(
        norm=config.norm,
        convolution=config.convolution,
        spatial=spatial,
        context_ratio=config.context_ratio if index in CONTEXT_STAGES else None,
        attention=config.attention if index in config.attention_stages else None,
        averages=averages,
        zero_init=config.zero_init,
    )
