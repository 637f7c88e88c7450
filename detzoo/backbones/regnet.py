"""RegNetX (https://arxiv.org/abs/2003.13678)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from detzoo.backbones.residual import BlockLayers, Blocks, Bottleneck, conv3x3
from detzoo.backbones.staged import StagedBackbone, StagedConfig
from detzoo.config import config
from detzoo.layers.conv_norm_act import conv_norm_act
from detzoo.layers.convolution import ConvConfig, DeformConvConfig, PlainConvConfig

STEM_CHANNELS = 32
DEFORMABLE_STAGES = (1, 2, 3)

Variant = Literal["400mf", "800mf", "1.6gf", "3.2gf", "4.0gf", "6.4gf", "8.0gf", "12gf"]


@dataclass(frozen=True)
class Widths:
    """The design parameters of a RegNet.

    Block j is about ``initial + slope * j`` wide, quantized to ``initial`` times a power of
    ``factor``; convolutions have groups of ``group_width`` channels.
    """

    initial: int
    slope: float
    factor: float
    depth: int
    group_width: int

    def stages(self) -> list[tuple[int, int, int]]:
        """Width, number of groups and number of blocks of each stage."""
        widths = []
        for block in range(self.depth):
            ratio = 1 + self.slope * block / self.initial
            steps = round(math.log(ratio) / math.log(self.factor))
            widths.append(8 * round(self.initial * self.factor**steps / 8))
        stages = []
        for width, blocks in itertools.groupby(widths):
            groups = max(round(width / self.group_width), 1)
            # The stage's width is rounded to a multiple of the group width.
            stages.append((groups * min(self.group_width, width), groups, len(list(blocks))))
        return stages


VARIANTS: dict[Variant, Widths] = {
    "400mf": Widths(24, 24.48, 2.54, 22, 16),
    "800mf": Widths(56, 35.73, 2.28, 16, 16),
    "1.6gf": Widths(80, 34.01, 2.25, 18, 24),
    "3.2gf": Widths(88, 26.31, 2.25, 25, 48),
    "4.0gf": Widths(96, 38.65, 2.43, 23, 40),
    "6.4gf": Widths(184, 60.83, 2.07, 17, 56),
    "8.0gf": Widths(80, 49.56, 2.88, 23, 120),
    "12gf": Widths(168, 73.36, 2.37, 19, 112),
}


@config
class RegNetConfig(StagedConfig):
    """RegNetX.

    Args:
        variant: Complexity in floating-point operations.
        deformable: Kind of the 3x3 convolutions from the second stage on; None: plain ones.
    """

    variant: Variant = "3.2gf"
    deformable: DeformConvConfig | None = None

    @property
    def architecture(self) -> str:
        return f"regnetx_{self.variant}"

    def build(self) -> RegNet:
        return RegNet(self)


class RegNet(StagedBackbone):
    """Stem ``conv1`` with norm ``bn1``, and stages ``layer1`` to ``layer4``."""

    def __init__(self, config: RegNetConfig) -> None:
        super().__init__()
        self.conv1 = conv3x3(PlainConvConfig(), 3, STEM_CHANNELS, 2)
        self.bn1 = config.norm.build(STEM_CHANNELS)
        channels = STEM_CHANNELS
        stages, widths = [], []
        for index, (width, groups, num_blocks) in enumerate(VARIANTS[config.variant].stages()):
            spatial: ConvConfig = PlainConvConfig()
            if config.deformable is not None and index in DEFORMABLE_STAGES:
                spatial = config.deformable
            layers = BlockLayers(norm=config.norm, spatial=spatial, zero_init=True)
            blocks = [Bottleneck(channels, width, width, stride=2, groups=groups, layers=layers)]
            for _ in range(num_blocks - 1):
                blocks.append(Bottleneck(width, width, width, groups=groups, layers=layers))
            stages.append(Blocks(*blocks))
            channels = width
            widths.append(width)
        self.add_stages(
            stages,
            channels=widths,
            strides=(4, 8, 16, 32),
            out_stages=config.out_stages,
            frozen_stages=config.frozen_stages,
            checkpoint_activations=config.checkpoint_activations,
        )

    def conv_norm_pairs(self) -> Iterator[tuple[nn.Module, nn.Module]]:
        yield self.conv1, self.bn1

    def stem_modules(self) -> list[nn.Module]:
        return [self.conv1, self.bn1]

    def stem_features(self, x: Tensor) -> Tensor:
        return conv_norm_act(x, self.conv1, self.bn1, "relu")
