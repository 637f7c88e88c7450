"""ConvNeXt (https://arxiv.org/abs/2201.03545)."""

from __future__ import annotations

import dataclasses
import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from detzoo.backbones.base import Backbone, BackboneConfig
from detzoo.backbones.staged import check_stages
from detzoo.config import Channels, NonNegativeFloat, NonNegativeInt, PositiveInt, UnitFloat, config
from detzoo.errors import ConfigError
from detzoo.layers.checkpoint import run_stage

NORM_EPS = 1e-6
HIDDEN_RATIO = 4  # ratio of a block's hidden width to its channels
# Names by the channels of the first stage and the blocks of all stages.
PUBLISHED = {
    (96, (3, 3, 9, 3)): "convnext-tiny",
    (96, (3, 3, 27, 3)): "convnext-small",
    (128, (3, 3, 27, 3)): "convnext-base",
    (192, (3, 3, 27, 3)): "convnext-large",
    (256, (3, 3, 27, 3)): "convnext-xlarge",
}


@config
class ConvNeXtConfig(BackboneConfig):
    """ConvNeXt.

    Args:
        channels: Channels of the first stage, doubled in each further stage.
        blocks: Number of blocks in each stage.
        layer_scale: Initial value of the learned scales of the residuals; 0: no scales.
        stochastic_depth: Probability of dropping the last block in training; it grows linearly from
            0 at the first.
        out_stages: Stages, counted from 0, whose feature maps are returned.
        frozen_stages: Number of stages kept fixed along with the stem; 0 freezes the stem alone, -1
            nothing.
        checkpoint_activations: Recompute activations in the backward pass, to save memory.
    """

    channels: Channels = 96
    blocks: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (3, 3, 9, 3)
    layer_scale: NonNegativeFloat = 1e-6
    stochastic_depth: UnitFloat = 0.0
    out_stages: tuple[NonNegativeInt, ...] = (0, 1, 2, 3)
    frozen_stages: int = -1
    checkpoint_activations: bool = False

    def __post_init__(self) -> None:
        check_stages(self.out_stages, self.frozen_stages, 4)
        if self.stochastic_depth == 1:
            raise ConfigError(f"stochastic_depth: {self.stochastic_depth} is not less than 1")

    @property
    def architecture(self) -> str:
        return PUBLISHED.get((self.channels, self.blocks), "convnext")

    def build(self) -> ConvNeXt:
        return ConvNeXt(self)

    def from_scratch(self) -> ConvNeXtConfig:
        return dataclasses.replace(self, pretrained=None, frozen_stages=-1)


class ConvNeXt(Backbone):
    """Each of the ``stages.i`` comes after ``downsample_layers.i``; the first of those is the stem.

    A norm ``norm{i}`` follows each stage that is returned. Names are those of MMClassification.
    """

    def __init__(self, config: ConvNeXtConfig) -> None:
        super().__init__()
        self.config = config
        total = sum(config.blocks)
        rates = [config.stochastic_depth * block / max(total - 1, 1) for block in range(total)]
        widths = [config.channels * 2**stage for stage in range(4)]
        stem = nn.Sequential(nn.Conv2d(3, widths[0], 4, 4), LayerNorm2d(widths[0], NORM_EPS))
        self.downsample_layers = nn.ModuleList([stem])
        for narrow, wide in itertools.pairwise(widths):
            self.downsample_layers.append(
                nn.Sequential(LayerNorm2d(narrow, NORM_EPS), nn.Conv2d(narrow, wide, 2, 2))
            )
        self.stages = nn.ModuleList()
        for stage, (width, num_blocks) in enumerate(zip(widths, config.blocks)):
            first = sum(config.blocks[:stage])
            self.stages.append(
                nn.Sequential(
                    *(
                        ConvNeXtBlock(width, config.layer_scale, rate)
                        for rate in rates[first : first + num_blocks]
                    )
                )
            )
        for stage in config.out_stages:
            self.add_module(f"norm{stage}", LayerNorm2d(widths[stage], NORM_EPS))
        self.out_channels = tuple(widths[stage] for stage in config.out_stages)
        self.out_strides = tuple(4 * 2**stage for stage in config.out_stages)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.trunc_normal_(module.weight, std=0.02)
                assert module.bias is not None
                nn.init.zeros_(module.bias)
        # Checkpoints contain all stages; those after the last output are not trained.
        unused = range(max(config.out_stages) + 1, 4)
        for module in [*self.frozen_modules(), *self._stage_modules(unused)]:
            module.requires_grad_(False)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        outputs = []
        for index in range(max(self.config.out_stages) + 1):
            x = self.downsample_layers[index](x)
            x = run_stage(self.stages[index], x, self.config.checkpoint_activations)
            if index in self.config.out_stages:
                outputs.append(self.get_submodule(f"norm{index}")(x))
        return tuple(outputs)

    def frozen_modules(self) -> list[nn.Module]:
        if self.config.frozen_stages < 0:
            return []
        return [self.downsample_layers[0], *self._stage_modules(range(self.config.frozen_stages))]

    def _stage_modules(self, stages: range) -> list[nn.Module]:
        return [*(self.downsample_layers[i] for i in stages), *(self.stages[i] for i in stages)]


class LayerNorm2d(nn.LayerNorm):
    """Layer normalization over the channels of each cell of a map (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    """A residual block of a depthwise 7x7 convolution, a norm and two linear layers."""

    gamma: nn.Parameter | None

    def __init__(self, channels: int, layer_scale: float, drop_rate: float) -> None:
        super().__init__()
        self.depthwise_conv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, NORM_EPS)
        self.pointwise_conv1 = nn.Linear(channels, HIDDEN_RATIO * channels)
        self.pointwise_conv2 = nn.Linear(HIDDEN_RATIO * channels, channels)
        gamma = nn.Parameter(torch.full((channels,), layer_scale)) if layer_scale else None
        self.register_parameter("gamma", gamma)
        self.drop = StochasticDepth(drop_rate, "row")

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        y = self.norm(self.depthwise_conv(x).permute(0, 2, 3, 1))  # (B, H, W, C)
        y = self.pointwise_conv2(F.gelu(self.pointwise_conv1(y)))
        if self.gamma is not None:
            y = y * self.gamma
        return x + self.drop(y.permute(0, 3, 1, 2))
