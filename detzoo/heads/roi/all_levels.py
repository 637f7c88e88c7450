"""RoI features from all levels of a pyramid (GRoIE, https://arxiv.org/abs/2004.13665)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from detzoo.config import NonNegativeInt, PositiveInt, config
from detzoo.heads.roi.base import RegionPooling, RegionPoolingConfig
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.generalized_attention import GeneralizedAttentionConfig
from detzoo.ops.roi_align import roi_align

ATTENTION = GeneralizedAttentionConfig(terms=("query_position",), num_heads=6)


@config
class AllLevelsPoolingConfig(RegionPoolingConfig):
    """RoIAlign from several maps, a 5x5 convolution, summation, and attention.

    Args:
        sampling_ratio: Samples per bin and axis; 0: adaptive, one per cell.
        num_levels: Number of levels, starting from the finest.
        convolves: Whether there is the convolution.
        attends: Whether there is the attention.
    """

    sampling_ratio: NonNegativeInt = 2
    num_levels: PositiveInt = 4
    convolves: bool = True
    attends: bool = True

    def build(self, in_channels: Sequence[int], strides: Sequence[int]) -> AllLevelsPooling:
        return AllLevelsPooling(self, in_channels, strides)


class AllLevelsPooling(RegionPooling):
    """Children ``pre_module``, the convolution, and ``post_module``, the attention."""

    def __init__(
        self, config: AllLevelsPoolingConfig, in_channels: Sequence[int], strides: Sequence[int]
    ) -> None:
        super().__init__()
        self.config = config
        self.strides = tuple(strides[: config.num_levels])
        self.out_channels = channels = in_channels[0]
        self.pre_module: nn.Module = nn.Identity()
        if config.convolves:
            self.pre_module = ConvModule(channels, channels, 5, padding=2)
        self.post_module: nn.Module = nn.Identity()
        if config.attends:
            self.post_module = ATTENTION.build(channels)

    def forward(self, features: Sequence[Tensor], rois: Tensor) -> Tensor:
        size, samples = self.config.output_size, self.config.sampling_ratio
        levels = []
        for feature, stride in zip(features, self.strides):
            levels.append(self.pre_module(roi_align(feature, rois, size, stride, samples)))
        out: Tensor = self.post_module(torch.stack(levels).sum(0))
        return out
