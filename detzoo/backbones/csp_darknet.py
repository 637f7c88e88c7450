"""CSPDarknet, the backbone of YOLOX (https://arxiv.org/abs/2107.08430)."""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.backbones.base import Backbone, BackboneConfig
from detzoo.config import PositiveFloat, config
from detzoo.errors import ConfigError
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.csp import YOLOX_NORM, CSPLayer, spatial_conv
from detzoo.layers.norm import NormConfig

# Channels and blocks of each stage at full size.
STAGES = ((128, 3), (256, 9), (512, 9), (1024, 3))
STEM_CHANNELS = 64
POOL_SIZES = (5, 9, 13)


@config
class CSPDarknetConfig(BackboneConfig):
    """CSPDarknet; returns maps of stride 8, 16 and 32.

    Args:
        depth_factor: Factor on the number of blocks per stage.
        width_factor: Factor on the channels.
        depthwise: Use depthwise separable 3x3 convolutions.
        norm: Norm after each convolution.
    """

    depth_factor: PositiveFloat = 1.0
    width_factor: PositiveFloat = 1.0
    depthwise: bool = False
    norm: NormConfig = YOLOX_NORM

    def __post_init__(self) -> None:
        if int(STEM_CHANNELS * self.width_factor) < 1:
            raise ConfigError(f"width_factor: {self.width_factor} leaves no channels in the stem")

    @property
    def architecture(self) -> str:
        return "cspdarknet"

    def build(self) -> CSPDarknet:
        return CSPDarknet(self)

    def from_scratch(self) -> CSPDarknetConfig:
        return dataclasses.replace(self, pretrained=None, norm=self.norm.from_scratch())


class CSPDarknet(Backbone):
    """Children ``stem`` and ``stage1`` to ``stage4``; the last three are returned."""

    def __init__(self, config: CSPDarknetConfig) -> None:
        super().__init__()
        norm = config.norm
        channels = int(STEM_CHANNELS * config.width_factor)
        self.stem = Focus(channels, norm)
        widths = []
        for index, (full_width, full_blocks) in enumerate(STAGES):
            width = int(full_width * config.width_factor)
            is_last = index == len(STAGES) - 1
            layers = [spatial_conv(channels, width, 2, config.depthwise, norm)]
            if is_last:
                layers.append(PyramidPooling(width, norm))
            layers.append(
                CSPLayer(
                    width,
                    width,
                    num_blocks=max(round(full_blocks * config.depth_factor), 1),
                    has_shortcuts=not is_last,
                    depthwise=config.depthwise,
                    norm=norm,
                )
            )
            self.add_module(f"stage{index + 1}", nn.Sequential(*layers))
            channels = width
            widths.append(width)
        self.out_channels = tuple(widths[1:])
        self.out_strides = (8, 16, 32)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                module.reset_parameters()  # trained from scratch with PyTorch's initialization

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.get_submodule("stage1")(self.stem(x))
        outputs = []
        for index in range(1, len(STAGES)):
            x = self.get_submodule(f"stage{index + 1}")(x)
            outputs.append(x)
        return tuple(outputs)

    def frozen_modules(self) -> list[nn.Module]:
        return []


class Focus(nn.Module):
    """Space to depth: each 2x2 square of pixels becomes one cell of twelve channels; then a
    convolution."""

    def __init__(self, out_channels: int, norm: NormConfig) -> None:
        super().__init__()
        self.conv = ConvModule(12, out_channels, 3, padding=1, norm=norm, activation="silu")

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) with even H and W -> (B, C, H / 2, W / 2)."""
        upper, lower = x[:, :, ::2], x[:, :, 1::2]
        squares = [upper[..., ::2], lower[..., ::2], upper[..., 1::2], lower[..., 1::2]]
        return self.conv(torch.cat(squares, 1))


class PyramidPooling(nn.Module):
    """Spatial pyramid pooling: max pooling with three window sizes, concatenated (YOLOv3-SPP)."""

    def __init__(self, channels: int, norm: NormConfig) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = ConvModule(channels, half, 1, norm=norm, activation="silu")
        width = half * (1 + len(POOL_SIZES))
        self.conv2 = ConvModule(width, channels, 1, norm=norm, activation="silu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        pooled = [F.max_pool2d(x, size, stride=1, padding=size // 2) for size in POOL_SIZES]
        return self.conv2(torch.cat([x, *pooled], 1))
