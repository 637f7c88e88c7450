"""SOLOv2: each cell predicts a kernel, which is applied to shared features to compute its mask
(https://arxiv.org/abs/2003.10152)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import Channels, PositiveInt, config
from detzoo.heads.mask_grid.base import (
    MaskGridHead,
    MaskGridHeadConfig,
    MaskGridPredictions,
    coordinates,
    initialize,
    tower,
)
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.convolution import ConvConfig, DeformConv2d, PlainConvConfig
from detzoo.layers.norm import GroupNormConfig, NormConfig

# The finest levels, from which the shared features are computed.
NUM_MASK_LEVELS = 4


@config
class SOLOv2HeadConfig(MaskGridHeadConfig):
    """SOLOv2.

    Args:
        convolution: Kind of the convolutions of the towers, except the last ones.
        last_convolution: Kind of the last convolution of each tower.
        mask_channels: Channels of the layers that compute the shared features.
        kernel_channels: Channels of the shared features, and weights of each kernel.
        mask_convolution: Kind of the convolutions that compute the shared features.
        mask_norm: Norm after each of them.
    """

    num_convs: PositiveInt = 4
    channels: Channels = 512
    convolution: ConvConfig = PlainConvConfig()
    last_convolution: ConvConfig = PlainConvConfig()
    mask_channels: Channels = 128
    kernel_channels: Channels = 256
    mask_convolution: ConvConfig = PlainConvConfig()
    mask_norm: NormConfig = GroupNormConfig(groups=32)

    @property
    def convolutions(self) -> tuple[ConvConfig, ...]:
        return (*(self.convolution,) * (self.num_convs - 1), self.last_convolution)

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> SOLOv2Head:
        return SOLOv2Head(self, in_channels, strides, num_classes)


@dataclass(frozen=True)
class KernelsAndFeatures:
    """A kernel (B, D, G, G) per cell, and the features (B, D, h, w) that they are applied to."""

    kernels: Tensor
    features: Tensor


class SOLOv2Head(MaskGridHead[Any]):
    """Children ``kernel_convs``, ``conv_kernel`` and ``mask_feature_head``."""

    config: SOLOv2HeadConfig
    shares_cells = True

    def __init__(
        self,
        config: SOLOv2HeadConfig,
        in_channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__(config, in_channels, strides, num_classes)
        self.mask_strides = (strides[0],) * len(strides)
        self.kernel_convs = tower(in_channels[0] + 2, config)
        self.conv_kernel = nn.Conv2d(config.channels, config.kernel_channels, 3, padding=1)
        self.mask_feature_head = MaskFeatures(in_channels[0], config)
        initialize(self, [self.conv_cls])
        for module in self.modules():
            if isinstance(module, DeformConv2d):
                nn.init.zeros_(module.conv_offset.weight)

    def forward(self, features: Sequence[Tensor]) -> MaskGridPredictions[KernelsAndFeatures]:
        predictions = super().forward(features)
        shared = self.mask_feature_head(features)
        size = (shared.shape[2], shared.shape[3])
        return dataclasses.replace(
            predictions,
            mask_maps=[KernelsAndFeatures(kernels, shared) for kernels in predictions.mask_maps],
            mask_sizes=[size] * len(features),
        )

    def maps(self, x: Tensor, level: int) -> Tensor:
        """The kernels of a level."""
        grid = self.config.grids[level]
        cells = F.interpolate(torch.cat([x, coordinates(x)], 1), (grid, grid), mode="bilinear")
        return self.conv_kernel(self.kernel_convs(cells))

    def masks(
        self,
        maps: KernelsAndFeatures,
        level: int,
        image: int,
        cells: Tensor,
        size: tuple[int, int] | None,
    ) -> Tensor:
        """All masks have the size of the features."""
        kernels = maps.kernels[image].flatten(1)[:, cells].float()  # (D, N)
        features = maps.features[image].float()
        return (kernels.T @ features.flatten(1)).sigmoid().unflatten(1, features.shape[1:])


class MaskFeatures(nn.Module):
    """Adds up the finest levels at the size of the first: (B, D, h, w).

    Children ``convs_all_levels``, with one convolution per doubling of a level's size, and
    ``conv_pred``.
    """

    def __init__(self, in_channels: int, config: SOLOv2HeadConfig) -> None:
        super().__init__()
        kind, norm, width = config.mask_convolution, config.mask_norm, config.mask_channels
        self.convs_all_levels = nn.ModuleList()
        for level in range(NUM_MASK_LEVELS):
            # The last level also receives the coordinates of its cells.
            first = in_channels + (2 if level == NUM_MASK_LEVELS - 1 else 0)
            widths = [first, *[width] * (level - 1)]
            self.convs_all_levels.append(
                nn.ModuleDict(
                    {
                        f"conv{number}": ConvModule(
                            before, width, 3, padding=1, convolution=kind, norm=norm
                        )
                        for number, before in enumerate(widths)
                    }
                )
            )
        self.conv_pred = ConvModule(width, config.kernel_channels, 1, convolution=kind, norm=norm)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        sizes = [x.shape[2:] for x in features]
        total: Tensor | None = None
        for level, convs in enumerate(self.convs_all_levels):
            x = features[level]
            if level == NUM_MASK_LEVELS - 1:
                x = torch.cat([x, coordinates(x)], 1)
            assert isinstance(convs, nn.ModuleDict)
            for number, conv in enumerate(convs.values()):
                x = conv(x)
                if level > 0:
                    x = F.interpolate(x, sizes[level - number - 1], mode="bilinear")
            total = x if total is None else total + x
        return self.conv_pred(total)
