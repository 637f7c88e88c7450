"""Hourglass-104, the backbone of CornerNet (https://arxiv.org/abs/1603.06937)."""

from __future__ import annotations

import dataclasses

import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.backbones.base import Backbone, BackboneConfig
from detzoo.backbones.residual import BasicBlock, BlockLayers, Blocks, ResidualBlock
from detzoo.config import config
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.norm import BatchNormConfig, NormConfig

NUM_STACKS = 2
# Channels and blocks at each resolution of a stack, from fine to coarse.
CHANNELS = (256, 256, 384, 384, 384, 512)
BLOCKS = (2, 2, 2, 2, 2, 4)


@config
class HourglassConfig(BackboneConfig):
    """Two stacked hourglasses; returns the output of each, both of stride 4.

    Args:
        norm: Norm after each convolution.
    """

    norm: NormConfig = BatchNormConfig()

    @property
    def architecture(self) -> str:
        return "hourglass104"

    def build(self) -> Hourglass:
        return Hourglass(self)

    def from_scratch(self) -> HourglassConfig:
        return dataclasses.replace(self, pretrained=None, norm=self.norm.from_scratch())


class Hourglass(Backbone):
    """Children ``stem``, ``hourglass_modules`` and ``out_convs``; ``inters``, ``conv1x1s`` and
    ``remap_convs`` connect each stack to the next."""

    def __init__(self, config: HourglassConfig) -> None:
        super().__init__()
        layers, norm = BlockLayers(norm=config.norm), config.norm
        channels = CHANNELS[0]
        self.stem = nn.Sequential(
            ConvModule(3, channels // 2, 7, stride=2, padding=3, norm=norm),
            nn.Sequential(BasicBlock(channels // 2, channels, stride=2, layers=layers)),
        )
        self.hourglass_modules = nn.ModuleList(
            HourglassModule(CHANNELS, BLOCKS, layers) for _ in range(NUM_STACKS)
        )
        between = range(NUM_STACKS - 1)
        self.inters = nn.ModuleList(BasicBlock(channels, channels, layers=layers) for _ in between)
        self.conv1x1s = nn.ModuleList(
            ConvModule(channels, channels, 1, norm=norm, activation="none") for _ in between
        )
        self.out_convs = nn.ModuleList(
            ConvModule(channels, channels, 3, padding=1, norm=norm) for _ in range(NUM_STACKS)
        )
        self.remap_convs = nn.ModuleList(
            ConvModule(channels, channels, 1, norm=norm, activation="none") for _ in between
        )
        self.out_channels = (channels,) * NUM_STACKS
        self.out_strides = (4,) * NUM_STACKS
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                module.reset_parameters()  # trained from scratch with PyTorch's initialization

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.stem(x)
        outputs = [self.out_convs[0](self.hourglass_modules[0](x))]
        for number in range(NUM_STACKS - 1):
            x = F.relu(self.conv1x1s[number](x) + self.remap_convs[number](outputs[-1]))
            x = self.inters[number](x)
            outputs.append(self.out_convs[number + 1](self.hourglass_modules[number + 1](x)))
        return tuple(outputs)

    def frozen_modules(self) -> list[nn.Module]:
        return []


class HourglassModule(nn.Module):
    """One hourglass, with ``channels`` and ``blocks`` per resolution.

    ``up1`` keeps this resolution; ``low1`` downsamples for the smaller hourglass ``low2`` (plain
    blocks at the bottom), and ``low3`` processes its output.
    """

    def __init__(
        self, channels: tuple[int, ...], blocks: tuple[int, ...], layers: BlockLayers
    ) -> None:
        super().__init__()
        here, below = channels[:2]
        count = blocks[0]
        self.up1 = Blocks(*_blocks(count, here, layers))
        down = BasicBlock(here, below, stride=2, layers=layers)
        self.low1 = Blocks(down, *_blocks(count - 1, below, layers))
        self.low2: nn.Module
        if len(channels) > 2:
            self.low2 = HourglassModule(channels[1:], blocks[1:], layers)
        else:
            self.low2 = Blocks(*_blocks(blocks[1], below, layers))
        back = BasicBlock(below, here, layers=layers)
        self.low3 = Blocks(*_blocks(count - 1, below, layers), back)

    def forward(self, x: Tensor) -> Tensor:
        low = self.low3(self.low2(self.low1(x)))
        return self.up1(x) + F.interpolate(low, size=x.shape[2:], mode="nearest")


def _blocks(count: int, channels: int, layers: BlockLayers) -> list[ResidualBlock]:
    return [BasicBlock(channels, channels, layers=layers) for _ in range(count)]
