"""Sums of a few rows of a large table: a product with a sparse matrix, and its transpose."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


class WeightedRows(torch.autograd.Function):
    """Sum m is that of the entries ``starts[m]`` to ``starts[m + 1]``: ``weight * table[index]``.

    Maps a table (N, C), entries ``index`` (E,) and ``weight`` (E,), and ``starts`` (M,) to (M, C).
    Gradients reach the table alone. On a processor that is many times faster than to write to
    the table entry by entry, and always sums in the same order.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor, weight: Tensor, starts: Tensor) -> Tensor:
        ctx.save_for_backward(index, weight, starts)
        ctx.rows = len(table)
        return _sums(table, index, weight, starts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        index, weight, starts = ctx.saved_tensors
        ends = torch.cat([starts[1:], starts.new_tensor([len(index)])])
        sums = torch.arange(len(starts), dtype=index.dtype).repeat_interleave(ends - starts)
        order = index.argsort(stable=True)
        counts = torch.bincount(index, minlength=ctx.rows)
        of_row = (counts.cumsum(0) - counts).to(starts.dtype)
        return _sums(gradient.contiguous(), sums[order], weight[order], of_row), None, None, None


def _sums(table: Tensor, index: Tensor, weight: Tensor, starts: Tensor) -> Tensor:
    return F.embedding_bag(
        index, table, starts, mode="sum", per_sample_weights=weight.to(table.dtype)
    )
