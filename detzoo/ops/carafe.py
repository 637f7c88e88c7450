"""Reassembly of features with a kernel per cell (CARAFE, https://arxiv.org/abs/1905.02188)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def carafe(x: Tensor, kernels: Tensor) -> Tensor:
    """Each output cell is a weighted sum of the cells around its source cell.

    Maps x (B, C, H, W) and kernels (B, k * k, s * H, s * W) -> (B, C, s * H, s * W). The source of
    output cell (y, x) is (y // s, x // s); weight ``i * k + j`` goes to its neighbour in row
    ``i - k // 2`` and column ``j - k // 2``. Beyond the map there are zeros.
    """
    images, channels, height, width = x.shape
    size = math.isqrt(kernels.shape[1])
    scale = kernels.shape[2] // height
    padded = F.pad(x, (size // 2,) * 4)
    # Axes (B, k * k, H, s, W, s): every source cell has s * s output cells.
    weights = kernels.to(x.dtype).reshape(images, size * size, height, scale, width, scale)
    # One pass over the output per neighbour. Gathering the neighbourhoods first would cost k * k
    # times the memory of the input; this way autograd keeps nothing but the input and the kernels.
    out = x.new_zeros((images, channels, height, scale, width, scale))
    for tap in range(size * size):
        row, column = divmod(tap, size)
        shifted = padded[:, :, row : row + height, column : column + width]
        out = torch.addcmul(out, shifted[:, :, :, None, :, None], weights[:, tap, None])
    return out.reshape(images, channels, scale * height, scale * width)
