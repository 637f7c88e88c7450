"""Convolution, normalisation and activation as one module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.layers.norm import Norm

Activation = Literal["relu", "relu6", "none"]


class ConvModule(nn.Module):
    """Convolution, then norm and activation where there are any. Children ``conv`` and ``bn``."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        norm: Norm | None = None,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        bias = norm is None
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=bias
        )
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)
        if norm is not None:
            self.bn = norm.build(out_channels)
        self.has_norm = norm is not None
        activations: dict[Activation, Callable[[Tensor], Tensor]]
        activations = {"relu": F.relu, "relu6": F.relu6, "none": _identity}
        self.activate = activations[activation]

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn.follow(self.conv, x) if self.has_norm else self.conv(x)
        return self.activate(x)


def _identity(x: Tensor) -> Tensor:
    return x
