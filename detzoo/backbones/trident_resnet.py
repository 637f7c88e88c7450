"""TridentNet (https://arxiv.org/abs/1901.01892): a stage with several branches, which share all
weights and differ in dilation."""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.backbones.residual import Blocks, Bottleneck, ResidualBlock, initialized
from detzoo.backbones.resnet import (
    BLOCKS,
    ResNet,
    ResNetConfig,
    block_layers,
    stage_channels,
    stage_width,
)
from detzoo.config import NonEmpty, NonNegativeInt, PositiveInt, config
from detzoo.errors import ConfigError


@config
class TridentResNetConfig(ResNetConfig):
    """ResNet up to its third stage, which has a branch per dilation.

    In training, its map has all images as the first branch sees them, then as the second does, and
    so on.

    Args:
        branch_dilations: Dilation of the 3x3 convolutions of each branch.
        test_branch: The only branch in inference, counted from 0; None: all.
    """

    strides: tuple[PositiveInt, ...] = (1, 2, 2)
    dilations: tuple[PositiveInt, ...] = (1, 1, 1)
    out_stages: tuple[NonNegativeInt, ...] = (2,)
    branch_dilations: NonEmpty[PositiveInt] = (1, 2, 3)
    test_branch: NonNegativeInt | None = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.depth < 50 or len(self.strides) != 3 or self.out_stages != (2,):
            raise ConfigError(
                "strides, out_stages: the branches are those of the third and last stage of a "
                "ResNet of depth 50 or more; give three strides, and out_stages (2,)"
            )
        if self.dilations[2] != 1 or (self.deformable and 2 in self.deformable_stages):
            raise ConfigError(
                "dilations, deformable_stages: the third stage has the dilations of its branches; "
                "give it a dilation of 1, and no deformable convolutions"
            )
        if self.frozen_stages > 2:
            raise ConfigError(f"frozen_stages: {self.frozen_stages} freezes the branches; give 2")
        if self.test_branch is not None and self.test_branch >= len(self.branch_dilations):
            raise ConfigError(
                f"test_branch: {self.test_branch} is none of {len(self.branch_dilations)} branches"
            )

    def build(self) -> TridentResNet:
        return TridentResNet(self)


class TridentResNet(ResNet):
    """The names are those of a ResNet."""

    config: TridentResNetConfig

    def __init__(self, config: TridentResNetConfig) -> None:
        super().__init__(config)
        self.layer3 = _branched_stage(config)

    @property
    def num_branches(self) -> int:
        """How many maps of each image there are now."""
        config = self.config
        if self.training or config.test_branch is None:
            return len(config.branch_dilations)
        return 1


def _branched_stage(config: TridentResNetConfig) -> Blocks:
    """The third stage."""
    # V2's shortcut of the branches never averages.
    layers = dataclasses.replace(block_layers(config, 2), averages=False)
    channels, out_channels = stage_channels(config, 1), stage_channels(config, 2)
    width = stage_width(config, 2)
    blocks: list[ResidualBlock] = []
    for number in range(BLOCKS[config.depth][2]):
        kind = _Branching if number == 0 else Bottleneck
        block = kind(
            channels,
            width,
            out_channels,
            stride=config.strides[2] if number == 0 else 1,
            groups=config.groups,
            style=config.style,
            layers=layers,
        )
        block.conv2 = TridentConv2d(block.conv2, config.branch_dilations, config.test_branch)
        blocks.append(block)
        channels = out_channels
    return Blocks(*blocks)


class TridentConv2d(nn.Conv2d):
    """The 3x3 convolution ``like``, whose dilation depends on the branch: each has an equal part of
    the batch, in order. In evaluation, ``test_branch`` may be the only one."""

    def __init__(
        self, like: nn.Conv2d, dilations: tuple[int, ...], test_branch: int | None
    ) -> None:
        super().__init__(
            like.in_channels, like.out_channels, 3, like.stride[0], groups=like.groups, bias=False
        )
        initialized(self)
        self.dilations, self.test_branch = dilations, test_branch

    @property
    def branches(self) -> tuple[int, ...]:
        """The dilations of the branches that there are now."""
        if self.training or self.test_branch is None:
            return self.dilations
        return (self.dilations[self.test_branch],)

    def forward(self, x: Tensor) -> Tensor:
        """(branches * B, C, H, W) -> (branches * B, C', H', W')."""
        parts = [
            F.conv2d(part, self.weight, None, self.stride, dilation, dilation, self.groups)
            for part, dilation in zip(x.chunk(len(self.branches)), self.branches)
        ]
        return torch.cat(parts)


class _Branching(Bottleneck):
    """The first block of the branches: every image goes into each."""

    conv2: TridentConv2d

    def forward(self, x: Tensor, owns_input: bool = False) -> Tensor:
        count = len(self.conv2.branches)
        if count > 1:
            x, owns_input = x.repeat(count, 1, 1, 1), True
        return super().forward(x, owns_input)
