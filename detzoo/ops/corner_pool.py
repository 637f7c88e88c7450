"""Corner pooling (https://arxiv.org/abs/1808.01244)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Direction = Literal["top", "bottom", "left", "right"]


def corner_pool(x: Tensor, direction: Direction) -> Tensor:
    """Max pooling of (B, C, H, W) from each cell to the border opposite of ``direction``.

    "top" is the maximum over the cells below, so that a cell on the top edge of an object receives
    its features; "left" over those to the right, and so on.
    """
    axis = 2 if direction in ("top", "bottom") else 3
    backwards = direction in ("top", "left")
    if torch.compiler.is_compiling():
        return _cumulative_max(x, axis, backwards)
    return _CumulativeMax.apply(x, axis, backwards)


def _cumulative_max(x: Tensor, axis: int, backwards: bool) -> Tensor:
    """The same for programs: runtimes have no views to write to, so all cells are compared with
    those 1, 2, 4, ... cells before them."""
    count, step = x.shape[axis], 1
    while step < count:
        low, high = x.narrow(axis, 0, count - step), x.narrow(axis, step, count - step)
        highest = torch.maximum(low, high)
        if backwards:
            x = torch.cat([highest, x.narrow(axis, count - step, step)], axis)
        else:
            x = torch.cat([x.narrow(axis, 0, step), highest], axis)
        step *= 2
    return x


class _CumulativeMax(torch.autograd.Function):
    """The cumulative maximum along an axis, from the end if ``backwards``.

    PyTorch's ``cummax`` also returns indices, which makes it slow. Here only the gradient needs
    them: a cell whose maximum is not its own value passes its gradient to the previous cell. Of
    equal values, the last gets the gradient, as in ``cummax``.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, axis: int, backwards: bool) -> Tensor:
        highest = x.clone()
        _carry(highest.movedim(axis, 0), backwards)
        ctx.save_for_backward(x, highest)
        ctx.axis, ctx.backwards = axis, backwards
        return highest

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        x, highest = ctx.saved_tensors
        passes_on = x != highest
        # Whether each cell receives the gradient of the next one: 1 or 0.
        shares = passes_on.roll(1 if ctx.backwards else -1, ctx.axis).to(grad.dtype)
        grad = grad.clone()
        _collect(grad.movedim(ctx.axis, 0), shares.movedim(ctx.axis, 0), not ctx.backwards)
        return grad.masked_fill_(passes_on, 0), None, None


def _carry(cells: Tensor, backwards: bool) -> None:
    """Replaces each of ``cells`` (N, ...) with the maximum up to it, in place.

    A parallel scan: the second cell of every pair is set to the maximum of the pair; the second
    cells are then scanned recursively; finally, every first cell is set to the maximum with the
    preceding second cell.
    """
    if len(cells) < 2:
        return
    first, second = _pairs(cells, backwards)
    torch.maximum(first, second, out=second)
    _carry(second, backwards)
    before, after = _pairs(cells, backwards, between=True)
    torch.maximum(before, after, out=after)


def _collect(grad: Tensor, shares: Tensor, backwards: bool) -> None:
    """Adds to each of ``grad`` (N, ...), in order and in place, its share of the previous one.

    The steps are those of :func:`_carry`.
    """
    if len(grad) < 2:
        return
    first, second = _pairs(grad, backwards)
    share_of_first, share_of_second = _pairs(shares, backwards)
    second.addcmul_(share_of_second, first)
    _collect(second, share_of_first * share_of_second, backwards)
    before, after = _pairs(grad, backwards, between=True)
    after.addcmul_(_pairs(shares, backwards, between=True)[1], before)


def _pairs(cells: Tensor, backwards: bool, *, between: bool = False) -> tuple[Tensor, Tensor]:
    """The first and second cells of all pairs along ``cells`` (N, ...), as views.

    With ``between``, the second cell of each pair and the first of the next.
    """
    start = len(cells) % 2 if backwards else 0
    if between:
        start = 1 - start
    low, high = cells[start:-1:2], cells[start + 1 :: 2]
    return (high, low) if backwards else (low, high)
