"""The kinds of convolution: plain, weight-standardized, deformable.

A kind is a value that builds a module, always a subclass of ``nn.Conv2d``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import config
from detzoo.ops.deform_conv import deform_conv2d


class StandardizedConv2d(nn.Conv2d, ABC):
    """A convolution whose kernel is computed from its weight."""

    @abstractmethod
    def kernel(self) -> Tensor:
        """(out, in / groups, h, w)."""

    def forward(self, x: Tensor) -> Tensor:
        place: tuple[Any, ...] = (self.stride, self.padding, self.dilation, self.groups)
        return F.conv2d(x, self.kernel(), self.bias, *place)


class WeightStandardizedConv2d(StandardizedConv2d):
    """Each filter is brought to mean 0 and deviation 1 first (https://arxiv.org/abs/1903.10520)."""

    eps = 1e-5

    def kernel(self) -> Tensor:
        filters = self.weight.flatten(1)
        mean, deviation = filters.mean(1, keepdim=True), filters.std(1, keepdim=True)
        return ((filters - mean) / (deviation + self.eps)).view_as(self.weight)


class DeformConv2d(nn.Conv2d):
    """Samples where ``conv_offset`` says (https://arxiv.org/abs/1703.06211).

    Child ``conv_offset`` predicts, from the same input, per deformable group and kernel position a
    shift (y, x) in cells; when ``modulated`` also a weight (https://arxiv.org/abs/1811.11168), its
    channels after those of all shifts. Both start as if there were none.
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
        """The convolution with another kernel and bias: (B, in, H, W) -> (B, out, H', W')."""
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
class Convolution(ABC):
    """Which kind of convolution a layer is."""

    @abstractmethod
    def module(self) -> Callable[..., nn.Conv2d]:
        """What makes the module, of the arguments of torch's convolution from channels to bias."""

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
        """The module, with freshly initialized parameters."""
        return self.module()(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias
        )


@config
class PlainConvolution(Convolution):
    """What every framework calls a convolution."""

    def module(self) -> type[nn.Conv2d]:
        return nn.Conv2d


@config
class WeightStandardized(Convolution):
    """Standardised filters; goes with group norm."""

    def module(self) -> type[nn.Conv2d]:
        return WeightStandardizedConv2d


@config
class Deformable(Convolution):
    """Sampling positions are predicted, in ``groups`` sets that each serve part of the channels."""

    groups: int = 1
    modulated: bool = False

    def module(self) -> Callable[..., nn.Conv2d]:
        return partial(DeformConv2d, deformable_groups=self.groups, modulated=self.modulated)
