"""EfficientNet (https://arxiv.org/abs/1905.11946)."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from detzoo.backbones.base import Backbone, BackboneConfig
from detzoo.config import NonNegativeInt, UnitFloat, config
from detzoo.errors import ConfigError
from detzoo.layers.checkpoint import run_stage
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.norm import BatchNormConfig, NormConfig

STEM_CHANNELS = 32
LAST_CHANNELS = 1280
SQUEEZE = 4  # ratio of a block's channels to the hidden channels of its gate


class Group(NamedTuple):
    """Equal blocks of EfficientNet-B0; the first has ``stride``, the others 1."""

    kernel_size: int
    channels: int
    stride: int
    expansion: int
    blocks: int


# By stage.
STAGES = (
    (Group(3, 16, 1, 1, 1),),
    (Group(3, 24, 2, 6, 2),),
    (Group(5, 40, 2, 6, 2),),
    (Group(3, 80, 2, 6, 3), Group(5, 112, 1, 6, 3)),
    (Group(5, 192, 2, 6, 4), Group(3, 320, 1, 6, 1)),
)
# Factors of channels and blocks.
Variant = Literal["b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8"]
SCALES: dict[str, tuple[float, float]] = {
    "b0": (1.0, 1.0),
    "b1": (1.0, 1.1),
    "b2": (1.1, 1.2),
    "b3": (1.2, 1.4),
    "b4": (1.4, 1.8),
    "b5": (1.6, 2.2),
    "b6": (1.8, 2.6),
    "b7": (2.0, 3.1),
    "b8": (2.2, 3.6),
}


@config
class EfficientNetConfig(BackboneConfig):
    """EfficientNet. Stages are counted from 0, without the stem; stage 5 is the last 1x1
    convolution.

    Args:
        variant: Width and depth, from the smallest, "b0".
        stochastic_depth: Probability of dropping the last block in training; it grows linearly from
            0 at the first.
        out_stages: Stages whose feature maps are returned. Later ones are not built.
        frozen_stages: Number of stages kept fixed along with the stem; 0 freezes the stem alone, -1
            nothing.
        norm: Norm after each convolution.
        checkpoint_activations: Recompute activations in the backward pass, to save memory.
    """

    variant: Variant = "b0"
    stochastic_depth: UnitFloat = 0.0
    out_stages: tuple[NonNegativeInt, ...] = (2, 3, 4)
    frozen_stages: int = -1
    norm: NormConfig = BatchNormConfig(eps=1e-3)
    checkpoint_activations: bool = False

    def __post_init__(self) -> None:
        if not self.out_stages or not set(self.out_stages) <= set(range(6)):
            raise ConfigError(f"out_stages: {self.out_stages} is not a selection of 0..5")
        if not -1 <= self.frozen_stages <= max(self.out_stages) + 1:
            raise ConfigError(
                f"frozen_stages: {self.frozen_stages} is not in -1..{max(self.out_stages) + 1}, "
                "the number of stages"
            )
        if self.stochastic_depth == 1:
            raise ConfigError(f"stochastic_depth: {self.stochastic_depth} is not less than 1")

    @property
    def architecture(self) -> str:
        return f"efficientnet-{self.variant}"

    def build(self) -> EfficientNet:
        return EfficientNet(self)

    def from_scratch(self) -> EfficientNetConfig:
        return dataclasses.replace(
            self, pretrained=None, frozen_stages=-1, norm=self.norm.from_scratch()
        )


class EfficientNet(Backbone):
    """``layers.0`` is the stem, ``layers.{i + 1}`` stage i."""

    def __init__(self, config: EfficientNetConfig) -> None:
        super().__init__()
        self.config = config
        width, depth = SCALES[config.variant]
        stages = [
            [
                g._replace(channels=scaled(g.channels, width), blocks=math.ceil(depth * g.blocks))
                for g in groups
            ]
            for groups in STAGES
        ]
        total = sum(group.blocks for groups in stages for group in groups)
        channels, stride, number = scaled(STEM_CHANNELS, width), 2, 0
        self.layers = nn.ModuleList([SameConv(3, channels, 3, stride=2, norm=config.norm)])
        widths, strides = [], []
        for groups in stages[: max(config.out_stages) + 1]:
            blocks = []
            for group in groups:
                for index in range(group.blocks):
                    blocks.append(
                        InvertedResidual(
                            channels,
                            group.channels,
                            kernel_size=group.kernel_size,
                            stride=group.stride if index == 0 else 1,
                            expansion=group.expansion,
                            drop_rate=config.stochastic_depth * number / (total - 1),
                            norm=config.norm,
                        )
                    )
                    channels, number = group.channels, number + 1
                stride *= group.stride
            self.layers.append(nn.Sequential(*blocks))
            widths.append(channels)
            strides.append(stride)
        if max(config.out_stages) == len(STAGES):
            last = scaled(LAST_CHANNELS, width)
            self.layers.append(ConvModule(channels, last, 1, norm=config.norm, activation="silu"))
            widths.append(last)
            strides.append(stride)
        self.out_channels = tuple(widths[stage] for stage in config.out_stages)
        self.out_strides = tuple(strides[stage] for stage in config.out_stages)
        for module in self.frozen_modules():
            module.requires_grad_(False)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.layers[0](x)
        outputs = []
        for stage, layer in enumerate(self.layers[1:]):
            recompute = self.config.checkpoint_activations and stage < len(STAGES)
            x = run_stage(layer, x, recompute)
            if stage in self.config.out_stages:
                outputs.append(x)
        return tuple(outputs)

    def frozen_modules(self) -> list[nn.Module]:
        return list(self.layers[: self.config.frozen_stages + 1])


class InvertedResidual(nn.Module):
    """Expands with a 1x1 convolution, filters depthwise, gates the channels and projects back."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int,
        stride: int,
        expansion: int,
        drop_rate: float,
        norm: NormConfig,
    ) -> None:
        super().__init__()
        width = in_channels * expansion
        self.has_shortcut = stride == 1 and in_channels == out_channels
        self.expand_conv: nn.Module = nn.Identity()
        if expansion > 1:
            self.expand_conv = ConvModule(in_channels, width, 1, norm=norm, activation="silu")
        self.depthwise_conv = SameConv(
            width, width, kernel_size, stride=stride, groups=width, norm=norm
        )
        self.se = SqueezeExcitation(width, in_channels // SQUEEZE)
        self.linear_conv = ConvModule(width, out_channels, 1, norm=norm, activation="none")
        self.drop = StochasticDepth(drop_rate, "row")

    def forward(self, x: Tensor) -> Tensor:
        out = self.linear_conv(self.se(self.depthwise_conv(self.expand_conv(x))))
        return x + self.drop(out) if self.has_shortcut else out


class SqueezeExcitation(nn.Module):
    """Gates each channel, given the means of all channels (https://arxiv.org/abs/1709.01507)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.conv1 = ConvModule(channels, hidden, 1, activation="silu")
        self.conv2 = ConvModule(hidden, channels, 1, activation="none")

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        gates = self.conv2(self.conv1(x.mean((2, 3), keepdim=True)))
        return x * torch.sigmoid(gates)


class SameConv(ConvModule):
    """A convolution padded as in TensorFlow: its output has ceil(size / stride) cells, and any
    excess padding is at the bottom right.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int,
        groups: int = 1,
        norm: NormConfig,
    ) -> None:
        # With stride 1 the padding is the same on all sides.
        self.even = stride == 1
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=kernel_size // 2 if self.even else 0,
            groups=groups,
            norm=norm,
            activation="silu",
        )
        self.kernel_size, self.stride = kernel_size, stride

    def forward(
        self, x: Tensor, *, shortcut: Tensor | None = None, reuse_shortcut: bool = False
    ) -> Tensor:
        if not self.even:
            x = F.pad(x, (*self._padding(x.shape[3]), *self._padding(x.shape[2])))
        return super().forward(x, shortcut=shortcut, reuse_shortcut=reuse_shortcut)

    def _padding(self, length: int) -> tuple[int, int]:
        """The padding before and after ``length`` cells."""
        covered = (math.ceil(length / self.stride) - 1) * self.stride + self.kernel_size
        total = max(covered - length, 0)
        return total // 2, total - total // 2


def scaled(channels: int, factor: float) -> int:
    """Rounds ``channels * factor`` to a multiple of 8 that is at most 10 % smaller."""
    exact = channels * factor
    rounded = max(8, int(exact + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * exact else rounded + 8
