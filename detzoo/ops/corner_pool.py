"""Corner pooling (https://arxiv.org/abs/1808.01244)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

Direction = Literal["top", "bottom", "left", "right"]


def corner_pool(x: Tensor, direction: Direction) -> Tensor:
    """The highest value of (B, C, H, W) on the way from each cell to the opposite border.

    "top" looks down from each cell, so that a cell learns of an object whose top edge it touches;
    "left" looks to the right, and so on.
    """
    axis = 2 if direction in ("top", "bottom") else 3
    if direction in ("bottom", "right"):
        return x.cummax(axis).values
    return x.flip(axis).cummax(axis).values.flip(axis)
