from __future__ import annotations

import pytest
import torch
from torch import Tensor

from detzoo.ops.corner_pool import Direction, corner_pool


def slow(x: Tensor, direction: Direction) -> Tensor:
    out = x.clone()
    height, width = x.shape[2:]
    for row in range(height):
        for column in range(width):
            seen = {
                "top": x[:, :, row:, column],
                "bottom": x[:, :, : row + 1, column],
                "left": x[:, :, row, column:],
                "right": x[:, :, row, : column + 1],
            }[direction]
            out[:, :, row, column] = seen.amax(2)
    return out


@pytest.mark.parametrize("direction", ["top", "bottom", "left", "right"])
def test_equals_the_loop(direction: Direction) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 5, 7, dtype=torch.float64)
    assert torch.equal(corner_pool(x, direction), slow(x, direction))
    x = x[:1, :1].requires_grad_()
    assert torch.autograd.gradcheck(lambda value: corner_pool(value, direction), (x,))
