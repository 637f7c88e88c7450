"""Convolution, normalisation and activation as one module."""

from __future__ import annotations

from torch import Tensor, nn

from detzoo.layers.activations import Activation
from detzoo.layers.convolution import Convolution, PlainConvolution
from detzoo.layers.norm import Norm, NormLayer

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
        self.activation = activation

    def forward(self, x: Tensor, *, beside: Tensor | None = None) -> Tensor:
        """``beside`` is added before the activation; without gradients it may be overwritten."""
        if self.norm_name:
            norm: NormLayer = getattr(self, self.norm_name)
            return norm.follow(self.conv, x, self.activation, beside=beside)
        return self.conv.then(x, self.activation, beside=beside)
