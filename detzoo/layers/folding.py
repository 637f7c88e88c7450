"""A batch norm with given statistics, folded into the convolution before it.

Then the norm is a scale and a shift per channel. Scaling the kernel is far cheaper than scaling its
output, forward and backward, and autograd finds the same gradients for the norm's weight and bias
through the product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from detzoo.layers.convolution import Conv2d

Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Folded:
    """``kernel`` and ``bias`` of the one convolution, and the state of what they were made of."""

    kernel: Tensor
    bias: Tensor
    dtype: torch.dtype
    stamp: Stamp


def fold(norm: nn.BatchNorm2d, conv: Conv2d) -> tuple[Tensor, Tensor]:
    """Kernel and bias of the convolution that equals ``norm(conv(x))`` on running statistics."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    shift = norm.bias - norm.running_mean * scale
    if conv.bias is not None:
        shift = shift + conv.bias * scale
    return conv.kernel() * scale[:, None, None, None], shift


def fold_once(norm: nn.BatchNorm2d, conv: Conv2d, known: Folded | None) -> Folded | None:
    """``known`` if it is still right, else the same made anew; without gradients.

    None where that cannot be told: under a compiler, and for tensors without a version.
    """
    if torch.compiler.is_compiling():
        return None
    parts = [conv.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var]
    tensors = [part for part in (*parts, conv.bias) if part is not None]
    if any(tensor.is_inference() for tensor in tensors):
        return None
    device = conv.weight.device.type
    autocast = torch.is_autocast_enabled(device)
    dtype = torch.get_autocast_dtype(device) if autocast else conv.weight.dtype
    stamp = _stamp(tensors)
    if known is not None and known.stamp == stamp and known.dtype == dtype:
        return known
    with torch.inference_mode(False), torch.no_grad():
        kernel, bias = fold(norm, conv)
        return Folded(kernel.to(dtype), bias.to(dtype), dtype, stamp)


def _stamp(tensors: Sequence[Tensor]) -> Stamp:
    """Changes whenever one of the tensors is replaced, moved or written to."""
    return tuple((id(tensor), tensor.data_ptr(), tensor._version) for tensor in tensors)
