"""Weighted sums of a few rows of large tables: products with sparse matrices, and their
transposes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


@dataclass(frozen=True)
class Terms:
    """Weighted sums of a table's rows: row ``target[m]`` of the result sums ``weight *
    table[index]`` over the terms from ``starts[m]`` to ``starts[m + 1]``.

    ``target`` and ``starts`` (M,), ``index`` and ``weight`` (E,).
    """

    target: Tensor
    starts: Tensor
    index: Tensor
    weight: Tensor


def weighted_rows(tables: Sequence[Tensor], terms: Sequence[Terms]) -> Tensor:
    """The weighted sums (M, C) of the rows of tables (N_i, C); together, the terms have every
    target once.

    Only the tables get gradients. On a CPU this is many times faster than scattering entry by
    entry, and the order of summation is fixed.
    """
    out: Tensor = _WeightedRows.apply(terms, *tables)
    return out


class _WeightedRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, terms: Sequence[Terms], *tables: Tensor) -> Tensor:
        ctx.terms, ctx.sizes = terms, [len(table) for table in tables]
        out = tables[0].new_empty((sum(len(own.target) for own in terms), tables[0].shape[1]))
        for own, table in zip(terms, tables):
            out[own.target] = _sums(table, own.index, own.weight, own.starts)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        gradient = gradient.contiguous()
        of_tables = [_transposed(gradient, own, size) for own, size in zip(ctx.terms, ctx.sizes)]
        return (None, *of_tables)


def _transposed(gradient: Tensor, terms: Terms, size: int) -> Tensor:
    """The gradient (size, C) of a table: the same terms, sorted by the table's rows."""
    ends = torch.cat([terms.starts[1:], terms.starts.new_tensor([len(terms.index)])])
    target = terms.target.repeat_interleave(ends - terms.starts)
    order = terms.index.argsort(stable=True)
    counts = torch.bincount(terms.index, minlength=size)
    starts = counts.cumsum(0) - counts
    index = target[order].to(terms.index.dtype)
    return _sums(gradient, index, terms.weight[order], starts.to(terms.index.dtype))


def _sums(table: Tensor, index: Tensor, weight: Tensor, starts: Tensor) -> Tensor:
    weight = weight.to(table.dtype)
    return F.embedding_bag(index, table, starts, mode="sum", per_sample_weights=weight)
