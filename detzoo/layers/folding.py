"""Inference: a batch norm folded into the convolution before it, and what follows fused with both.

A norm with given statistics is a scale and a shift per channel. Scaling the kernel is far cheaper
than scaling its output, forward and backward, and autograd finds the same gradients for the norm's
weight and bias through the product. In inference the scaled kernel is remembered. On x86 processors
it is also laid out as oneDNN, torch's library for them, wants it, and what is added and the
activation are computed while the output is written: large maps are read and written less often.
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.layers.activations import LEAK, Activation, activate

if TYPE_CHECKING:
    from detzoo.layers.convolution import Conv2d

Stamp = tuple[tuple[int, int, int], ...]
# An input that is larger by this factor than the one that a kernel was laid out for gets it anew.
LARGER = 2


@dataclass(frozen=True)
class Folded:
    """One convolution instead of ``conv`` and its norm, and the state of what it was made of.

    ``kernel`` is in oneDNN's own layout where ``is_packed``: the one that is best for inputs of so
    many ``cells`` in all. Copies of a module make their own.
    """

    conv: Conv2d
    kernel: Tensor
    bias: Tensor | None
    is_packed: bool
    cells: int
    dtype: torch.dtype
    stamp: Stamp

    def suits(self, stamp: Stamp, dtype: torch.dtype, cells: int) -> bool:
        """Whether it is still right for modules in that state, and fast for so many cells."""
        is_right = self.stamp == stamp and self.dtype == dtype
        return is_right and (not self.is_packed or cells <= LARGER * self.cells)

    def __call__(self, x: Tensor, activation: Activation, beside: Tensor | None) -> Tensor:
        """The convolution of x, plus ``beside``, which may be overwritten, activated."""
        conv = self.conv
        if not self.is_packed:
            return finish(conv.convolve(x, self.kernel, self.bias), activation, beside)
        x = x.to(self.dtype, memory_format=torch.channels_last)
        place = (conv.padding, conv.stride, conv.dilation, conv.groups)
        if beside is None:
            return torch.ops.mkldnn._convolution_pointwise(
                x, self.kernel, self.bias, *place, *_POINTWISE[activation], ""
            )
        beside = beside.to(self.dtype, memory_format=torch.channels_last)
        # Of the activations a sum can have the ReLU alone.
        relu = "relu" if activation == "relu" else None
        # The sum takes the place of what is added: a map less to allocate, and to write.
        out = torch.ops.mkldnn._convolution_pointwise_.binary(
            beside, x, self.kernel, self.bias, *place, "add", 1.0, relu, [], ""
        )
        return out if relu else activate(out, activation)

    def __deepcopy__(self, memo: object) -> None:
        return None

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()


# oneDNN's names and numbers.
_POINTWISE: dict[Activation, tuple[str, list[float]]] = {
    "none": ("none", []),
    "relu": ("relu", []),
    "relu6": ("hardtanh", [0.0, 6.0]),
    "leaky_relu": ("leaky_relu", [LEAK]),
    "silu": ("swish", []),
}


def finish(out: Tensor, activation: Activation, beside: Tensor | None) -> Tensor:
    """``out`` plus ``beside``, activated."""
    out = out if beside is None else out + beside
    return F.relu(out, inplace=True) if activation == "relu" else activate(out, activation)


def fold(norm: nn.BatchNorm2d, conv: Conv2d) -> tuple[Tensor, Tensor]:
    """Kernel and bias of the convolution that equals ``norm(conv(x))`` on running statistics."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    shift = norm.bias - norm.running_mean * scale
    if conv.bias is not None:
        shift = shift + conv.bias * scale
    return conv.kernel() * scale[:, None, None, None], shift


def fold_once(
    norm: nn.BatchNorm2d | None, conv: Conv2d, x: Tensor, known: Folded | None
) -> Folded | None:
    """``known`` if it is still right for input x, else the same made anew, without gradients.

    None where that cannot be told: under a compiler, and for tensors without a version.
    """
    if torch.compiler.is_compiling():
        return None
    modules = (conv,) if norm is None else (conv, norm)
    tensors = [t for module in modules for t in (*module.parameters(), *module.buffers())]
    if any(tensor.is_inference() for tensor in tensors):
        return None
    device = conv.weight.device.type
    autocast = torch.is_autocast_enabled(device)
    dtype = torch.get_autocast_dtype(device) if autocast else conv.weight.dtype
    stamp = _stamp(tensors)
    cells = x.numel() // x.shape[1]
    if known is not None and known.suits(stamp, dtype, cells):
        return known
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(device, enabled=False):
        kernel, bias = (conv.kernel(), conv.bias) if norm is None else fold(norm, conv)
        kernel = kernel.to(dtype)
        bias = None if bias is None else bias.to(dtype)
        packs = conv.plain and device == "cpu" and dtype in _packable()
        if packs:
            place = (conv.padding, conv.stride, conv.dilation, conv.groups)
            kernel = torch.ops.mkldnn._reorder_convolution_weight(kernel, *place, list(x.shape))
        return Folded(conv, kernel, bias, packs, cells, dtype, stamp)


@functools.cache
def _packable() -> tuple[torch.dtype, ...]:
    """The types for which this machine and this torch have fused convolutions."""
    here = torch.backends.mkldnn.is_available() and platform.machine() in ("x86_64", "AMD64")
    ops = ("_convolution_pointwise", "_convolution_pointwise_", "_reorder_convolution_weight")
    if not here or not all(hasattr(torch.ops.mkldnn, name) for name in ops):
        return ()
    return torch.float32, torch.bfloat16


def _stamp(tensors: Sequence[Tensor]) -> Stamp:
    """Changes whenever one of the tensors is replaced, moved or written to."""
    return tuple((id(tensor), tensor.data_ptr(), tensor._version) for tensor in tensors)
