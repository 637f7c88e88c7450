"""Kinds of convolution: plain, weight-standardized, deformable, all subclasses of ``nn.Conv2d``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import Channels, config
from detzoo.ops.deform_conv import deform_conv2d


class StandardizedConv2d(nn.Conv2d, ABC):
    """Base class of convolutions whose kernel is computed from their weight."""

    @abstractmethod
    def kernel(self) -> Tensor:
        """The kernel (out, in / groups, h, w)."""

    def forward(self, x: Tensor) -> Tensor:
        place: tuple[Any, ...] = (self.stride, self.padding, self.dilation, self.groups)
        return F.conv2d(x, self.kernel(), self.bias, *place)


class WeightStandardizedConv2d(StandardizedConv2d):
    """Convolution with filters of mean 0 and standard deviation 1 (https://arxiv.org/abs/1903.10520)."""

    eps = 1e-5

    def kernel(self) -> Tensor:
        filters = self.weight.flatten(1)
        mean, deviation = filters.mean(1, keepdim=True), filters.std(1, keepdim=True)
        return ((filters - mean) / (deviation + self.eps)).view_as(self.weight)


class DeformConv2d(nn.Conv2d):
    """Deformable convolution (https://arxiv.org/abs/1703.06211).

    Child ``conv_offset`` predicts the offset (y, x) of each deformable group and kernel position,
    in cells, from the same input; if ``modulated``, also a mask
    (https://arxiv.org/abs/1811.11168), in the channels after the offsets. It is initialized to
    zero: no offsets.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        padding: int,
        dilation: int,
        groups: int,
        bias: bool,
        *,
        deformable_groups: int,
        modulated: bool,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias
        )
        self.modulated = modulated
        self.num_shifts = 2 * deformable_groups * kernel_size**2
        outputs = self.num_shifts * 3 // 2 if modulated else self.num_shifts
        self.conv_offset = nn.Conv2d(
            in_channels, outputs, kernel_size, stride=stride, padding=padding, dilation=dilation
        )
        nn.init.zeros_(self.conv_offset.weight)
        assert self.conv_offset.bias is not None
        nn.init.zeros_(self.conv_offset.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.sample(x, self.weight, self.bias)

    def sample(self, x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
        """Convolves with the given kernel and bias: (B, in, H, W) -> (B, out, H', W')."""
        sampling = self.conv_offset(x)
        shifts = sampling[:, : self.num_shifts]
        weights = sampling[:, self.num_shifts :].sigmoid() if self.modulated else None
        return deform_conv2d(
            x,
            shifts.contiguous(),
            kernel,
            bias,
            self.stride,
            self.padding,
            self.dilation,
            weights,
        )


@config
class ConvConfig(ABC):
    """Base class of the kinds of convolution."""

    @abstractmethod
    def module(self) -> Callable[..., nn.Conv2d]:
        """The callable that creates the module from the positional arguments of ``nn.Conv2d``, from
        ``in_channels`` to ``bias``."""

    def build(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = False,
    ) -> nn.Conv2d:
        """Builds the module with initialized parameters."""
        return self.module()(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias
        )


@config
class PlainConvConfig(ConvConfig):
    """``nn.Conv2d``."""

    def module(self) -> type[nn.Conv2d]:
        return nn.Conv2d


@config
class WeightStandardizedConvConfig(ConvConfig):
    """Weight-standardized filters, for use with group normalization."""

    def module(self) -> type[nn.Conv2d]:
        return WeightStandardizedConv2d


@config
class DeformConvConfig(ConvConfig):
    """Deformable convolution.

    Args:
        groups: Number of deformable groups: channels with the same offsets.
        modulated: Whether sampled values are weighted by a predicted mask (version 2).
    """

    groups: Channels = 1
    modulated: bool = False

    def module(self) -> Callable[..., nn.Conv2d]:
        return partial(DeformConv2d, deformable_groups=self.groups, modulated=self.modulated)
