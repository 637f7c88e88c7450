"""Dynamic head: attention to levels, locations and channels (https://arxiv.org/abs/2106.08322)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import Channels, PositiveInt, config
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.norm import GroupNormConfig
from detzoo.necks.base import Neck, NeckConfig
from detzoo.ops.deform_conv import deform_conv2d

NORM = GroupNormConfig(groups=16)
# Per position of a 3x3 kernel: y, x and the weight of the sample.
NUM_SHIFTS, NUM_WEIGHTS = 18, 9


@config
class DyHeadConfig(NeckConfig):
    """Dynamic head: blocks in which each level also receives its neighbors.

    Args:
        out_channels: Channels of every output.
        num_blocks: Number of blocks.
        starts_undeformed: Whether convolutions are initialized to sample without offsets.
    """

    out_channels: Channels = 256
    num_blocks: PositiveInt = 6
    starts_undeformed: bool = True

    def build(self, in_channels: Sequence[int], in_strides: Sequence[int]) -> DyHead:
        return DyHead(self, in_channels, in_strides)


class DyHead(Neck):
    """Child ``dyhead_blocks``."""

    def __init__(
        self, config: DyHeadConfig, in_channels: Sequence[int], in_strides: Sequence[int]
    ) -> None:
        super().__init__()
        width = config.out_channels
        widths = [in_channels[0], *[width] * (config.num_blocks - 1)]
        self.dyhead_blocks = nn.Sequential(
            *(DyHeadBlock(before, width, config.starts_undeformed) for before in widths)
        )
        self.out_channels = (width,) * len(in_channels)
        self.out_strides = tuple(in_strides)

    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        for block in self.dyhead_blocks:
            features = block(features)
        return features


class DyHeadBlock(nn.Module):
    """Children ``spatial_conv_high``, ``spatial_conv_mid``, ``spatial_conv_low``,
    ``spatial_conv_offset``, ``scale_attn_module``, ``task_attn_module``."""

    def __init__(self, in_channels: int, channels: int, starts_undeformed: bool) -> None:
        super().__init__()
        self.spatial_conv_high = SampledConv(in_channels, channels)
        self.spatial_conv_mid = SampledConv(in_channels, channels)
        self.spatial_conv_low = SampledConv(in_channels, channels, stride=2)
        self.spatial_conv_offset = nn.Conv2d(in_channels, NUM_SHIFTS + NUM_WEIGHTS, 3, padding=1)
        self.scale_attn_module = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, 1, 1),
            nn.ReLU(inplace=True),
            nn.Hardsigmoid(),
        )
        self.task_attn_module = DynamicReLU(channels)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and not isinstance(module, _SampledConv2d):
                nn.init.normal_(module.weight, std=0.01)
                assert module.bias is not None
                nn.init.zeros_(module.bias)
        if starts_undeformed:
            nn.init.zeros_(self.spatial_conv_offset.weight)

    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(self._level(features, level) for level in range(len(features)))

    def _level(self, features: tuple[Tensor, ...], level: int) -> Tensor:
        x = features[level]
        sampling = self.spatial_conv_offset(x)
        shifts, weights = sampling[:, :NUM_SHIFTS], sampling[:, NUM_SHIFTS:].sigmoid()
        seen = [self.spatial_conv_mid(x, shifts, weights)]
        if level > 0:
            seen.append(self.spatial_conv_low(features[level - 1], shifts, weights))
        if level + 1 < len(features):
            above = features[level + 1]
            size = above.shape[2:]
            high = self.spatial_conv_high(above, reread(shifts, size), reread(weights, size))
            seen.append(F.interpolate(high, x.shape[2:], mode="bilinear", align_corners=True))
        attended = [one * self.scale_attn_module(one) for one in seen]
        return self.task_attn_module(torch.stack(attended).mean(0))


def reread(x: Tensor, size: Sequence[int]) -> Tensor:
    """Reinterprets the first values in memory of each map (C, H, W) of x as a map of a smaller
    ``size``: (B, C, h, w).

    The published models were trained this way: for the coarser level, the convolution has fewer
    output cells than there are offsets of the finer level, and reads them from the start of that
    memory.
    """
    channels, (height, width) = x.shape[1], size
    return x.flatten(1)[:, : channels * height * width].view(-1, channels, height, width)


class _SampledConv2d(nn.Conv2d):
    """A modulated deformable convolution without bias, given offsets and weights of samples."""

    def forward(  # type: ignore[override]
        self, x: Tensor, shifts: Tensor, weights: Tensor
    ) -> Tensor:
        return deform_conv2d(
            x, shifts.contiguous(), self.weight, None, self.stride, self.padding, mask=weights
        )


class SampledConv(nn.Module):
    """A deformable convolution with offsets and weights as inputs; children ``conv``, ``norm``."""

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = _SampledConv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        nn.init.kaiming_uniform_(self.conv.weight, nonlinearity="relu")
        self.norm = NORM.build(channels)

    def forward(self, x: Tensor, shifts: Tensor, weights: Tensor) -> Tensor:
        """(B, C, H, W); shifts (B, 18, H', W') of (y, x) and weights (B, 9, H', W') of samples."""
        return self.norm(self.conv(x, shifts, weights))


class DynamicReLU(nn.Module):
    """The maximum of two linear functions per channel, which depend on the whole map
    (https://arxiv.org/abs/2003.10027); children ``conv1``, ``conv2``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvModule(channels, channels // 4, 1)
        self.conv2 = ConvModule(channels // 4, 4 * channels, 1, activation="none")

    def forward(self, x: Tensor) -> Tensor:
        summary = F.adaptive_avg_pool2d(x, 1)
        parts = F.hardsigmoid(self.conv2(self.conv1(summary))) - 0.5  # from -0.5 to 0.5
        slope1, offset1, slope2, offset2 = parts.chunk(4, 1)
        return torch.maximum(x * (2 * slope1 + 1) + offset1, x * (2 * slope2) + offset2)
