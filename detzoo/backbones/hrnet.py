"""HRNet (https://arxiv.org/abs/1908.07919)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.backbones.base import Backbone, BackboneConfig
from detzoo.backbones.residual import (
    BasicBlock,
    BlockLayers,
    Blocks,
    Bottleneck,
    ConvNorm,
    conv1x1,
    conv3x3,
)
from detzoo.config import Channels, config
from detzoo.layers.activations import Activation
from detzoo.layers.conv_norm_act import conv_norm_act
from detzoo.layers.convolution import PlainConvConfig
from detzoo.layers.norm import BatchNormConfig, NormConfig, NormLayer

STEM_CHANNELS = 64
BLOCKS = 4  # blocks per branch of a module, and in the first stage
# Modules in the stages with two, three and four branches.
MODULES = (1, 4, 3)
PLAIN = PlainConvConfig()


@config
class HRNetConfig(BackboneConfig):
    """HRNetV2.

    Args:
        width: Channels of the finest branch; each coarser branch has twice as many.
        norm: Norm after each convolution.
    """

    width: Channels = 32
    norm: NormConfig = BatchNormConfig(fixed_statistics=True)

    @property
    def architecture(self) -> str:
        return f"hrnetv2_w{self.width}"

    def build(self) -> HRNet:
        return HRNet(self)

    def from_scratch(self) -> HRNetConfig:
        return dataclasses.replace(self, pretrained=None, norm=self.norm.from_scratch())


class HRNet(Backbone):
    """A stem of stride 4, bottlenecks ``layer1``, then parallel branches of stride 4, 8, 16 and 32
    that repeatedly exchange features.

    ``transition1`` to ``transition3`` create the branches of ``stage2`` to ``stage4``: each adds
    one branch, derived from the previous coarsest.
    """

    def __init__(self, config: HRNetConfig) -> None:
        super().__init__()
        norm = config.norm
        layers = BlockLayers(norm=norm)
        self.norm_kind = norm.child_name
        self.conv1 = conv3x3(PLAIN, 3, STEM_CHANNELS, 2)
        self.add_module(f"{self.norm_kind}1", norm.build(STEM_CHANNELS))
        self.conv2 = conv3x3(PLAIN, STEM_CHANNELS, STEM_CHANNELS, 2)
        self.add_module(f"{self.norm_kind}2", norm.build(STEM_CHANNELS))
        channels = 4 * STEM_CHANNELS
        blocks = [Bottleneck(STEM_CHANNELS, STEM_CHANNELS, channels, layers=layers)]
        blocks += [
            Bottleneck(channels, STEM_CHANNELS, channels, layers=layers) for _ in range(BLOCKS - 1)
        ]
        self.layer1 = Blocks(*blocks)
        before = [channels]
        for number, num_modules in enumerate(MODULES):
            widths = [config.width * 2**branch for branch in range(number + 2)]
            self.add_module(f"transition{number + 1}", _transition(before, widths, norm))
            modules = [HRModule(widths, layers) for _ in range(num_modules)]
            self.add_module(f"stage{number + 2}", nn.Sequential(*modules))
            before = widths
        self.out_channels = tuple(before)
        self.out_strides = (4, 8, 16, 32)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = conv_norm_act(x, self.conv1, self._norm(1), "relu")
        x = conv_norm_act(x, self.conv2, self._norm(2), "relu")
        branches: tuple[Tensor, ...] = (self.layer1(x),)
        for number in range(len(MODULES)):
            transition = self.get_submodule(f"transition{number + 1}")
            sources = (*branches, branches[-1])
            branches = tuple(open_(x) for open_, x in zip(transition.children(), sources))
            branches = self.get_submodule(f"stage{number + 2}")(branches)
        return branches

    def frozen_modules(self) -> list[nn.Module]:
        return []

    def conv_norm_pairs(self) -> Iterator[tuple[nn.Module, nn.Module]]:
        yield self.conv1, self._norm(1)
        yield self.conv2, self._norm(2)

    def _norm(self, number: int) -> NormLayer:
        return getattr(self, f"{self.norm_kind}{number}")


class HRModule(nn.Module):
    """Blocks in each of ``branches``, then fusion: ``fuse_layers[i][j]`` leads from branch j
    to i."""

    def __init__(self, widths: Sequence[int], layers: BlockLayers) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            Blocks(*(BasicBlock(width, width, layers=layers) for _ in range(BLOCKS)))
            for width in widths
        )
        indices = range(len(widths))
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_fusion(widths, target, source, layers.norm) for source in indices)
            for target in indices
        )

    def forward(self, xs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Accepts and returns the maps of all branches (B, C_i, H / 2^i, W / 2^i)."""
        xs = tuple(branch(x) for branch, x in zip(self.branches, xs))
        outputs = []
        for target, fusions in zip(xs, self.fuse_layers):
            arriving = [_resize(fusion(x), target) for fusion, x in zip(fusions.children(), xs)]
            outputs.append(F.relu(sum(arriving[1:], arriving[0])))
        return tuple(outputs)


def _transition(before: Sequence[int], widths: Sequence[int], norm: NormConfig) -> nn.ModuleList:
    """Builds the transition from branches with ``before`` channels to one more, with ``widths``."""
    opened: list[nn.Module] = []
    for old, new in zip(before, widths):
        # For existing branches, only the width changes, and only after the first stage.
        same = old == new
        opened.append(nn.Identity() if same else _conv_norm(old, new, 1, norm, "relu"))
    opened.append(nn.Sequential(_conv_norm(before[-1], widths[-1], 2, norm, "relu")))
    return nn.ModuleList(opened)


def _fusion(widths: Sequence[int], target: int, source: int, norm: NormConfig) -> nn.Module:
    """Builds the path from branch ``source`` to ``target``: to finer branches by a 1x1 convolution,
    to coarser ones by strided convolutions.
    """
    if source == target:
        return nn.Identity()
    width_in, width = widths[source], widths[target]
    if source > target:
        return ConvNorm(conv1x1(PLAIN, width_in, width), norm.build(width))
    steps = [_conv_norm(width_in, width_in, 2, norm, "relu") for _ in range(target - source - 1)]
    return nn.Sequential(*steps, _conv_norm(width_in, width, 2, norm, "none"))


def _conv_norm(
    in_channels: int, out_channels: int, stride: int, norm: NormConfig, activation: Activation
) -> ConvNorm:
    conv = conv3x3(PLAIN, in_channels, out_channels, stride)
    return ConvNorm(conv, norm.build(out_channels), activation)


def _resize(x: Tensor, like: Tensor) -> Tensor:
    """Upsamples ``x`` of a coarser branch to the size of ``like``."""
    if x.shape[2:] == like.shape[2:]:
        return x
    return F.interpolate(x, size=like.shape[2:], mode="nearest")
