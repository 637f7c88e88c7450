"""Convolution, normalization and activation, with an optional shortcut."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from detzoo.layers.activations import Activation, activate
from detzoo.layers.convolution import ConvConfig, PlainConvConfig
from detzoo.layers.fusion import (
    CONVOLUTIONS,
    NORMS,
    AbsorbedNorm,
    FusedConv2d,
    can_fold,
    can_fuse,
    convolve,
    finish,
    fold,
    has_hooks,
    is_concrete,
    is_known,
)
from detzoo.layers.norm import NormConfig

PLAIN = PlainConvConfig()
_MAKING_NEW_MAPS = (*CONVOLUTIONS, *NORMS, FusedConv2d, nn.GroupNorm)


def conv_norm_act(
    x: Tensor,
    conv: nn.Module,
    norm: nn.Module | None = None,
    activation: Activation = "none",
    *,
    shortcut: Tensor | None = None,
    reuse_shortcut: bool = False,
) -> Tensor:
    """Computes ``activation(norm(conv(x)) + shortcut)``.

    ``conv`` and ``norm`` may be any modules. In a fused detector
    (:func:`detzoo.layers.fusion.fuse`), this is a single operation, which may overwrite
    ``shortcut`` if the caller allows it with ``reuse_shortcut``. In training, a norm with fixed
    statistics is folded into the kernel, which results in the same gradients with less computation.
    """
    if isinstance(conv, FusedConv2d) and (norm is None or is_absorbed(norm)):
        return conv(x, activation, shortcut, reuse_shortcut)
    if (
        conv.training
        and norm is not None
        and not norm.training
        and can_fuse(conv)
        and can_fold(norm)
        and is_concrete(x)
    ):
        return finish(convolve(conv, x, *fold(conv, norm)), activation, shortcut)
    out = conv(x) if norm is None else norm(conv(x))
    if shortcut is not None or is_unwatched(conv, norm, x):
        return finish(out, activation, shortcut)  # in place: nothing else reads the sum
    return activate(out, activation)


def is_unwatched(conv: nn.Module, norm: nn.Module | None, x: Tensor) -> bool:
    """Whether nothing else uses the output of ``norm(conv(x))``."""
    last = conv if norm is None else norm
    return is_known(last, _MAKING_NEW_MAPS) and is_concrete(x)


def is_absorbed(norm: nn.Module) -> bool:
    """Whether the convolution before ``norm`` has absorbed it, and no hooks need its output."""
    return isinstance(norm, AbsorbedNorm) and not has_hooks(norm)


class ConvModule(nn.Module):
    """A convolution, optionally followed by a norm and an activation.

    Children ``conv`` and, depending on the norm, ``bn`` or ``gn``. ``bias`` None: a bias only if
    there is no norm.
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
        convolution: ConvConfig = PLAIN,
        norm: NormConfig | None = None,
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

    @property
    def norm(self) -> nn.Module | None:
        return getattr(self, self.norm_name) if self.norm_name else None

    def conv_norm_pairs(self) -> Iterator[tuple[nn.Module, nn.Module]]:
        if self.norm is not None:
            yield self.conv, self.norm

    def forward(
        self, x: Tensor, *, shortcut: Tensor | None = None, reuse_shortcut: bool = False
    ) -> Tensor:
        """``shortcut`` is added before the activation. See :func:`conv_norm_act`."""
        return conv_norm_act(
            x,
            self.conv,
            self.norm,
            self.activation,
            shortcut=shortcut,
            reuse_shortcut=reuse_shortcut,
        )
