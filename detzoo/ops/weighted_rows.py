"""Weighted sums of a few rows of large tables: products with sparse matrices, and their
transposes. On CPUs, maps are sampled by them: a cell is a row of all channels."""

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

    ``target`` and ``starts`` (M,), ``index`` and ``weight`` (E,). Without ``target``, for a single
    table, the sums are in order.
    """

    target: Tensor | None
    starts: Tensor
    index: Tensor
    weight: Tensor

    def bags(self) -> Tensor:
        """(E,) the sum that each term belongs to."""
        ends = torch.cat([self.starts[1:], self.starts.new_tensor([len(self.index)])])
        return torch.arange(len(self.starts)).repeat_interleave(ends - self.starts)


def works_by_rows(x: Tensor) -> bool:
    """Whether x is on a CPU, and not traced for another place."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def neighbors(position: Tensor, cells: int | Tensor) -> tuple[Tensor, Tensor]:
    """Along one axis, the two cells around each position (...) and their shares (..., 2), which are
    0 outside of the map. ``cells`` (...) is how many the map has; the center of the first is at 0.
    """
    with torch.no_grad():
        # Positions far outside, or that are no number, have no cell.
        limit = torch.as_tensor(cells, dtype=position.dtype)
        low = position.floor().nan_to_num_(-2.0).clamp_(min=-2).minimum(limit)
        first = low.int()
        cell = torch.stack([first, first + 1], -1)
        inside = (cell >= 0) & (cell < limit[..., None])
        cell.clamp_(min=0)
        torch.minimum(cell, limit[..., None].int() - 1, out=cell)
    share = position - low
    return cell, torch.stack([1 - share, share], -1).where(inside, 0.0)


def weighted_rows(tables: Sequence[Tensor], terms: Sequence[Terms]) -> Tensor:
    """The weighted sums (M, C) of the rows of tables (N_i, C); together, the terms have every
    target once.

    The tables and the weights get gradients. On a CPU this is many times faster than scattering
    entry by entry, and the order of summation is fixed.
    """
    out: Tensor = _WeightedRows.apply(terms, *tables, *(own.weight for own in terms))
    return out


class _WeightedRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, terms: Sequence[Terms], *inputs: Tensor) -> Tensor:
        tables, weights = inputs[: len(terms)], inputs[len(terms) :]
        ctx.terms, ctx.sizes = terms, [len(table) for table in tables]
        ctx.learns_weights = any(ctx.needs_input_grad[1 + len(terms) :])
        # Tables are only needed for the gradients of the weights.
        ctx.save_for_backward(*(inputs if ctx.learns_weights else weights))
        if terms[0].target is None:
            return _sums(tables[0], terms[0], weights[0])
        out = tables[0].new_empty((sum(len(own.starts) for own in terms), tables[0].shape[1]))
        for own, table, weight in zip(terms, tables, weights):
            out[own.target] = _sums(table, own, weight)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        gradient = gradient.contiguous()
        terms, count = ctx.terms, len(ctx.terms)
        weights = ctx.saved_tensors[-count:]
        of_tables = [
            _of_table(gradient, own, weight, size) if needed else None
            for own, weight, size, needed in zip(
                terms, weights, ctx.sizes, ctx.needs_input_grad[1:]
            )
        ]
        if not ctx.learns_weights:
            return (None, *of_tables, *(None for _ in terms))
        tables = ctx.saved_tensors[:count]
        of_weights = [_of_weights(gradient, own, table) for own, table in zip(terms, tables)]
        return (None, *of_tables, *of_weights)


def _of_table(gradient: Tensor, terms: Terms, weight: Tensor, size: int) -> Tensor:
    """The gradient (size, C) of a table: the same terms, sorted by the table's rows."""
    target = terms.bags() if terms.target is None else terms.target[terms.bags()]
    order = terms.index.argsort(stable=True)
    counts = torch.bincount(terms.index, minlength=size)
    starts = counts.cumsum(0) - counts
    index = target[order].to(terms.index.dtype)
    transposed = Terms(None, starts.to(terms.index.dtype), index, weight)
    return _sums(gradient, transposed, weight[order])


def _of_weights(gradient: Tensor, terms: Terms, table: Tensor) -> Tensor:
    """The gradient (E,) of the weights: the products of a sum's gradient and the term's row."""
    own = gradient if terms.target is None else gradient[terms.target]
    bags, index = terms.bags().to(terms.index.dtype), terms.index
    return torch.ops.aten._embedding_bag_per_sample_weights_backward(
        own, table, index, terms.starts, bags, 0
    )


def _sums(table: Tensor, terms: Terms, weight: Tensor) -> Tensor:
    weight = weight.to(table.dtype)
    return F.embedding_bag(terms.index, table, terms.starts, mode="sum", per_sample_weights=weight)
