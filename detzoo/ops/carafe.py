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
    weights = weights.flatten(3, 4).flatten(0, 2)
    # Past the last cell, as many as its neighbors reach.
    cells = F.pad(padded.flatten(0, 2), (0, 0, 0, (size - 1) * (pitch + 1))).contiguous()
    out = _Reassemble.apply(cells, weights, pitch)
    out = out.view(images, rows, pitch, scale, scale, channels)[:, :height, :width]
    out = out.permute(0, 5, 1, 3, 2, 4)
    return out.reshape(images, channels, scale * height, scale * width)


class _Reassemble(torch.autograd.Function):
    """cells (P, C), weights (N, S, k, k) -> (N, S, C): S sums for each of the first N cells.

    One product of small matrices per row of the neighborhood, on windows that overlap in memory:
    gathering the neighborhoods would take k * k times the memory of the cells.
    """

    @staticmethod
    def forward(ctx: Any, cells: Tensor, weights: Tensor, pitch: int) -> Tensor:
        ctx.save_for_backward(cells, weights)
        ctx.pitch = pitch
        count, _, size, _ = weights.shape
        windows = _windows(cells, size)
        out = weights[:, :, 0] @ windows[:count]
        for row in range(1, size):
            start = row * pitch
            out.baddbmm_(weights[:, :, row], windows[start : start + count])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        cells, weights = ctx.saved_tensors
        count, _, size, _ = weights.shape
        for_cells, for_weights = torch.zeros_like(cells), torch.zeros_like(weights)
        windows = _windows(cells, size)
        for row in range(size):
            start = row * ctx.pitch
            for_weights[:, :, row] = grad @ windows[start : start + count].transpose(1, 2)
            shares = weights[:, :, row].transpose(1, 2) @ grad  # (N, k, C)
            for column in range(size):
                for_cells[start + column : start + column + count] += shares[:, column]
        return for_cells, for_weights, None


def _windows(cells: Tensor, size: int) -> Tensor:
    """The windows of ``size`` cells at each of the cells (P, C): (P - size + 1, size, C)."""
    count, channels = cells.shape[0] - size + 1, cells.shape[1]
    if torch.compiler.is_compiling():  # runtimes have no tensors that overlap in memory
        return torch.stack([cells[start : start + count] for start in range(size)], 1)
    return cells.as_strided((count, size, channels), (channels, channels, 1))
