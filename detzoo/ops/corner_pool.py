"""Corner pooling (https://arxiv.org/abs/1808.01244)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Direction = Literal["top", "bottom", "left", "right"]


def corner_pool(x: Tensor, direction: Direction) -> Tensor:
    """The highest value of (B, C, H, W) on the way from each cell to the opposite border.

    "top" looks down from each cell, so that a cell learns of an object whose top edge it touches;
    "left" looks to the right, and so on.
    """
    axis = 2 if direction in ("top", "bottom") else 3
    return _HighestSoFar.apply(x, axis, direction in ("top", "left"))


class _HighestSoFar(torch.autograd.Function):
    """The highest value up to each cell along an axis, which is walked ``backwards`` or not.

    torch's ``cummax`` also says where each value came from, which makes it slow and the gradient
    large. Here only the gradient asks: a cell whose highest value is not its own passes on what it
    gets to the cell before it. So of equal values the last one gets the gradient, as in ``cummax``.
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
        # What each cell gets of the one after it: 1 or 0.
        shares = passes_on.roll(1 if ctx.backwards else -1, ctx.axis).to(grad.dtype)
        grad = grad.clone()
        _collect(grad.movedim(ctx.axis, 0), shares.movedim(ctx.axis, 0), not ctx.backwards)
        return grad.masked_fill_(passes_on, 0), None, None


def _carry(cells: Tensor, backwards: bool) -> None:
    """Each of ``cells`` (N, ...) becomes the highest up to it, in place.

    The second cell of every pair learns of the first. Among the second cells the rest is the same
    task, of half the size. Then every first cell learns of the second cell before it.
    """
    if len(cells) < 2:
        return
    first, second = _pairs(cells, backwards)
    torch.maximum(first, second, out=second)
    _carry(second, backwards)
    before, after = _pairs(cells, backwards, between=True)
    torch.maximum(before, after, out=after)


def _collect(grad: Tensor, shares: Tensor, backwards: bool) -> None:
    """Each of ``grad`` (N, ...), from the first on, is added its share of the one before, in place.

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
    """The first and the second cell of every pair along ``cells`` (N, ...), as views.

    ``between``: the second cell of every pair, and the first of the pair after it.
    """
    start = len(cells) % 2 if backwards else 0
    if between:
        start = 1 - start
    low, high = cells[start:-1:2], cells[start + 1 :: 2]
    return (high, low) if backwards else (low, high)
