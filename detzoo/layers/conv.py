"""Convolution, normalisation and activation as one module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.layers.convolution import Convolution, PlainConvolution
from detzoo.layers.norm import Norm, NormLayer

Activation = Literal["relu", "relu6", "leaky_relu", "silu", "none"]

PLAIN = PlainConvolution()


class ConvModule(nn.Module):
    """Convolution, then norm and activation where there are any.

    Children ``conv`` and, by the kind of norm, ``bn`` or ``gn``. ``bias`` None gives the
    convolution a bias where no norm follows.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool | None = None,
        convolution: Convolution = PLAIN,
        norm: Norm | None = None,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        self.conv = convolution.build(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=norm is None if bias is None else bias,
        )
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)
        self.norm_name = "" if norm is None else norm.child_name
        if norm is not None:
            self.add_module(norm.child_name, norm.build(out_channels))
        self.has_relu = activation == "relu"  # which a convolution can compute along the way
        self.activate = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        if self.norm_name:
            norm: NormLayer = getattr(self, self.norm_name)
            x = norm.follow(self.conv, x, relu=self.has_relu)
        else:
            x = self.conv.then(x, relu=self.has_relu)
        return x if self.has_relu else self.activate(x)


def _identity(x: Tensor) -> Tensor:
    return x


def _leaky_relu(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.1)


ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "leaky_relu": _leaky_relu,  # of slope 0.1, as in Darknet
    "silu": F.silu,
    "none": _identity,
}
