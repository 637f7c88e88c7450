"""Feature reassembly with a kernel per cell (CARAFE, https://arxiv.org/abs/1905.02188)."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def carafe(x: Tensor, kernels: Tensor) -> Tensor:
    """Computes each output cell as a weighted sum of the cells around its source cell.

    Maps x (B, C, H, W) and kernels (B, k * k, s * H, s * W) -> (B, C, s * H, s * W). The source of
    output cell (y, x) is (y // s, x // s); weight ``i * k + j`` applies to its neighbor in row ``i
    - k // 2`` and column ``j - k // 2``. Outside the map, values are zero.
    """
    images, channels, height, width = x.shape
    size = math.isqrt(kernels.shape[1])
    scale = kernels.shape[2] // height
    # One list of cells for all images, row by row including margins: the neighbors of cell p in
    # row i are then the cells from p + i * pitch on, contiguous in memory.
    margin = size // 2
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0) + (margin,) * 4)
    rows, pitch = padded.shape[1:3]
    weights = kernels.to(x.dtype).reshape(images, size, size, height, scale, width, scale)
    weights = weights.permute(0, 3, 5, 4, 6, 1, 2)  # (B, H, W, s, s, k, k)
    weights = F.pad(weights, (0, 0) * 4 + (0, pitch - width, 0, rows - height))
    cells, weights = padded.flatten(0, 2).contiguous(), weights.flatten(3, 4).flatten(0, 2)
    out = _Reassemble.apply(cells, weights, pitch)
    out = out.view(images, rows, pitch, scale, scale, channels)[:, :height, :width]
    out = out.permute(0, 5, 1, 3, 2, 4)
    return out.reshape(images, channels, scale * height, scale * width)


class _Reassemble(torch.autograd.Function):
    """cells (P, C), weights (P, S, k, k) -> (P, S, C): S sums per cell.

    One product of small matrices per row of the neighborhood, on windows that overlap in memory:
    gathering the neighborhoods would take k * k times the memory of the cells.
    """

    @staticmethod
    def forward(ctx: Any, cells: Tensor, weights: Tensor, pitch: int) -> Tensor:
        ctx.save_for_backward(cells, weights)
        ctx.pitch = pitch
        out = cells.new_zeros((*weights.shape[:2], cells.shape[1]))
        count = _num_windows(weights, pitch)
        for row in range(weights.shape[2]):
            windows = _windows(cells, row * pitch, count, weights.shape[3])
            out[:count].baddbmm_(weights[:count, :, row], windows)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        cells, weights = ctx.saved_tensors
        size = weights.shape[3]
        count = _num_windows(weights, ctx.pitch)
        own = grad[:count]
        for_cells, for_weights = torch.zeros_like(cells), torch.zeros_like(weights)
        for row in range(size):
            start = row * ctx.pitch
            windows = _windows(cells, start, count, size)
            for_weights[:count, :, row] = own @ windows.transpose(1, 2)
            shares = weights[:count, :, row].transpose(1, 2) @ own  # (count, k, C)
            for column in range(size):
                for_cells[start + column : start + column + count] += shares[:, column]
        return for_cells, for_weights, None


def _num_windows(weights: Tensor, pitch: int) -> int:
    """The number of cells whose neighbors are all in the list."""
    return max(0, len(weights) - (weights.shape[3] - 1) * (pitch + 1))


def _windows(cells: Tensor, start: int, count: int, size: int) -> Tensor:
    """The windows of ``size`` cells at each of ``count`` cells from ``start`` on: (count, k, C)."""
    channels = cells.shape[1]
    return cells[start:].as_strided((count, size, channels), (channels, channels, 1))
