"""MobileNetV2 (https://arxiv.org/abs/1801.04381)."""

from __future__ import annotations

import dataclasses
from typing import Literal

from torch import Tensor, nn

from detzoo.backbones.base import Backbone, BackboneConfig
from detzoo.config import NonNegativeInt, config
from detzoo.errors import ConfigError
from detzoo.layers.activations import Activation
from detzoo.layers.checkpoint import run_stage
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.norm import BatchNormConfig, NormConfig

# Expansion, channels, blocks and stride of the first block of each stage.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
LAST_CHANNELS = 1280
TRUNCATED_STD = 0.03


@config
class MobileNetV2Config(BackboneConfig):
    """MobileNetV2. Stages are counted from 0; stage 7 is the last 1x1 convolution, to 1280
    channels.

    Args:
        out_stages: Stages whose feature maps are returned.
        frozen_stages: Number of stages kept fixed along with the stem; 0 freezes the stem alone, -1
            nothing.
        norm: Norm after each convolution.
        activation: Activation after each norm.
        initialization: Initialization of kernels.
        checkpoint_activations: Recompute activations in the backward pass, to save memory.
    """

    out_stages: tuple[NonNegativeInt, ...] = (1, 2, 4, 6)
    frozen_stages: int = -1
    norm: NormConfig = BatchNormConfig()
    activation: Activation = "relu6"
    initialization: Literal["kaiming", "truncated_normal"] = "kaiming"
    checkpoint_activations: bool = False

    def __post_init__(self) -> None:
        if not self.out_stages or not set(self.out_stages) <= set(range(8)):
            raise ConfigError(f"out_stages: {self.out_stages} is not a selection of 0..7")
        if not -1 <= self.frozen_stages <= 8:
            raise ConfigError(f"frozen_stages: {self.frozen_stages} is not in -1..8")

    @property
    def architecture(self) -> str:
        return "mobilenet_v2"

    def build(self) -> MobileNetV2:
        return MobileNetV2(self)

    def from_scratch(self) -> MobileNetV2Config:
        return dataclasses.replace(
            self, pretrained=None, frozen_stages=-1, norm=self.norm.from_scratch()
        )


class InvertedResidual(nn.Module):
    """Expands with a 1x1 convolution, filters depthwise with 3x3, projects back with a linear
    1x1."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int,
        expansion: int,
        norm: NormConfig,
        activation: Activation,
    ) -> None:
        super().__init__()
        width = in_channels * expansion
        self.has_shortcut = stride == 1 and in_channels == out_channels
        self.expand_conv: nn.Module = nn.Identity()
        if expansion > 1:
            self.expand_conv = ConvModule(in_channels, width, 1, norm=norm, activation=activation)
        self.depthwise_conv = ConvModule(
            width,
            width,
            3,
            stride=stride,
            padding=1,
            groups=width,
            norm=norm,
            activation=activation,
        )
        self.linear_conv = ConvModule(width, out_channels, 1, norm=norm, activation="none")

    def forward(self, x: Tensor) -> Tensor:
        out = self.linear_conv(self.depthwise_conv(self.expand_conv(x)))
        return x + out if self.has_shortcut else out


class MobileNetV2(Backbone):
    """Stem ``conv1``, stages ``layer1`` to ``layer7``, and ``conv2``, the last 1x1 convolution."""

    def __init__(self, config: MobileNetV2Config) -> None:
        super().__init__()
        self.config = config
        norm, activation = config.norm, config.activation
        channels, stride = 32, 2
        self.conv1 = ConvModule(
            3, channels, 3, stride=2, padding=1, norm=norm, activation=activation
        )
        self.stage_names: list[str] = []
        stage_channels, stage_strides = [], []
        for index, (expansion, width, count, first_stride) in enumerate(STAGES):
            blocks = []
            for number in range(count):
                step = first_stride if number == 0 else 1
                blocks.append(
                    InvertedResidual(
                        channels,
                        width,
                        stride=step,
                        expansion=expansion,
                        norm=norm,
                        activation=activation,
                    )
                )
                channels = width
            self.add_module(f"layer{index + 1}", nn.Sequential(*blocks))
            self.stage_names.append(f"layer{index + 1}")
            stride *= first_stride
            stage_channels.append(channels)
            stage_strides.append(stride)
        self.conv2 = ConvModule(channels, LAST_CHANNELS, 1, norm=norm, activation=activation)
        self.stage_names.append("conv2")
        stage_channels.append(LAST_CHANNELS)
        stage_strides.append(stride)
        self.out_channels = tuple(stage_channels[i] for i in config.out_stages)
        self.out_strides = tuple(stage_strides[i] for i in config.out_stages)
        if config.initialization == "truncated_normal":
            for module in self.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.trunc_normal_(module.weight, std=TRUNCATED_STD)
        # Checkpoints contain all stages; those after the last output are not trained.
        unused = [self.get_submodule(n) for n in self.stage_names[max(config.out_stages) + 1 :]]
        for module in [*self.frozen_modules(), *unused]:
            module.requires_grad_(False)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.conv1(x)
        outputs = []
        for index in range(max(self.config.out_stages) + 1):
            stage = self.get_submodule(self.stage_names[index])
            recompute = self.config.checkpoint_activations and index < 7
            x = run_stage(stage, x, recompute)
            if index in self.config.out_stages:
                outputs.append(x)
        return tuple(outputs)

    def frozen_modules(self) -> list[nn.Module]:
        if self.config.frozen_stages < 0:
            return []
        names = self.stage_names[: self.config.frozen_stages]
        return [self.conv1, *(self.get_submodule(name) for name in names)]
