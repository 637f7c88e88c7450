"""Switchable atrous convolution (DetectoRS, https://arxiv.org/abs/2006.02334)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import config
from detzoo.layers.convolution import ConvConfig, StandardizedConv2d
from detzoo.ops.deform_conv import deform_conv2d

SURROUNDINGS = 5  # size in cells of the average from which the switch is predicted
LARGE = 3  # dilation of the large field of view, relative to the small one


class AdaptiveConv2d(StandardizedConv2d):
    """A convolution whose filters are standardized, then scaled by ``weight_gamma`` and shifted by
    ``weight_beta``.

    Neither is trained. If they are missing from loaded weights, which were trained without
    standardization, they are set such that the filters remain unchanged.
    """

    eps = 1e-5
    weight_gamma: Tensor
    weight_beta: Tensor

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.register_buffer("weight_gamma", torch.ones(self.out_channels, 1, 1, 1))
        self.register_buffer("weight_beta", torch.zeros(self.out_channels, 1, 1, 1))

    def kernel(self) -> Tensor:
        deviation, mean = self._statistics()
        return self.weight_gamma * (self.weight - mean) / deviation + self.weight_beta

    def _statistics(self) -> tuple[Tensor, Tensor]:
        filters = self.weight.flatten(1)
        mean, variance = filters.mean(1), filters.var(1)
        return (variance + self.eps).sqrt().view(-1, 1, 1, 1), mean.view(-1, 1, 1, 1)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        names = [f"{prefix}weight_gamma", f"{prefix}weight_beta"]
        if f"{prefix}weight" in state_dict and not any(name in state_dict for name in names):
            with torch.no_grad():
                deviation, mean = self._statistics()
                self.weight_gamma.copy_(deviation)
                self.weight_beta.copy_(mean)
            missing_keys[:] = [name for name in missing_keys if name not in names]


class SwitchableAtrousConv2d(AdaptiveConv2d):
    """A deformable 3x3 convolution at two dilations, mixed by a weight predicted per cell.

    Both share the kernel up to ``weight_diff``; ``offset_s`` and ``offset_l`` predict the offsets
    of each, ``switch`` the weight of the small one. ``pre_context`` and ``post_context`` add global
    context before and after the convolution.
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
    ) -> None:
        assert (kernel_size, bias) == (3, False), "only 3x3, without bias"
        super().__init__(
            in_channels, out_channels, 3, stride, padding, dilation, groups=groups, bias=False
        )
        self.weight_diff = nn.Parameter(torch.zeros_like(self.weight))
        self.switch = nn.Conv2d(in_channels, 1, 1, stride)
        self.pre_context = nn.Conv2d(in_channels, in_channels, 1)
        self.post_context = nn.Conv2d(out_channels, out_channels, 1)
        self.offset_s = nn.Conv2d(in_channels, 18, 3, stride, 1)
        self.offset_l = nn.Conv2d(in_channels, 18, 3, stride, 1)
        offsets = (self.offset_s, self.offset_l)
        for layer in (self.switch, self.pre_context, self.post_context, *offsets):
            nn.init.zeros_(layer.weight)
            assert layer.bias is not None
            nn.init.constant_(layer.bias, 1.0 if layer is self.switch else 0.0)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.pre_context(x.mean((2, 3), keepdim=True))
        margin = SURROUNDINGS // 2
        around = F.avg_pool2d(F.pad(x, (margin,) * 4, mode="reflect"), SURROUNDINGS, 1)
        share = self.switch(around)
        kernel = self.kernel()
        small = self._sample(x, self.offset_s(around), kernel, 1)
        large = self._sample(x, self.offset_l(around), kernel + self.weight_diff, LARGE)
        out = share * small + (1 - share) * large
        return out + self.post_context(out.mean((2, 3), keepdim=True))

    def _sample(self, x: Tensor, offsets: Tensor, kernel: Tensor, widening: int) -> Tensor:
        padding = tuple(widening * cells for cells in self.padding)
        dilation = tuple(widening * cells for cells in self.dilation)
        return deform_conv2d(x, offsets, kernel, None, self.stride, padding, dilation)


@config
class AdaptiveConvConfig(ConvConfig):
    """Standardized filters, with a scale and a mean that keep pretrained filters unchanged."""

    def module(self) -> type[nn.Conv2d]:
        return AdaptiveConv2d


@config
class SwitchableAtrousConvConfig(ConvConfig):
    """Switchable atrous convolution: 3x3 convolutions at two dilations, one three times the other,
    mixed per cell.
    """

    def module(self) -> type[nn.Conv2d]:
        return SwitchableAtrousConv2d
