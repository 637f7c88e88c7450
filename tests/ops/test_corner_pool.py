from __future__ import annotations

import pytest
import torch
from torch import Tensor

from detzoo.ops.corner_pool import Direction, corner_pool

DIRECTIONS = ("top", "bottom", "left", "right")


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


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_equals_the_loop(direction: Direction) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 5, 7, dtype=torch.float64)
    assert torch.equal(corner_pool(x, direction), slow(x, direction))
    x = x[:1, :1].requires_grad_()
    assert torch.autograd.gradcheck(lambda value: corner_pool(value, direction), (x,))


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("length", [1, 2, 3, 4, 8, 13])
def test_any_length_and_memory_format(direction: Direction, length: int) -> None:
    x = torch.randn(2, 3, length, length + 1)
    wanted = slow(x, direction)
    assert torch.equal(corner_pool(x, direction), wanted)
    last = x.contiguous(memory_format=torch.channels_last)
    assert torch.equal(corner_pool(last, direction), wanted)
    torch.compiler.reset()  # each is a program of its own
    program = torch.compile(corner_pool, backend="eager", fullgraph=True, dynamic=False)
    assert torch.equal(program(x, direction), wanted)


def test_the_last_of_equal_values_gets_the_gradient() -> None:
    x = torch.tensor([[2.0, 1.0, 2.0, 0.0, 3.0]]).view(1, 1, 1, 5).requires_grad_()
    weights = torch.tensor([1.0, 10.0, 100.0, 1000.0, 10000.0])
    (right,) = torch.autograd.grad((corner_pool(x, "right") * weights).sum(), x)
    assert right.flatten().tolist() == [11, 0, 1100, 0, 10000]
    (left,) = torch.autograd.grad((corner_pool(x, "left") * weights).sum(), x)
    assert left.flatten().tolist() == [0, 0, 0, 0, 11111]


def test_no_images() -> None:
    x = torch.zeros(0, 3, 4, 5, requires_grad=True)
    corner_pool(x, "left").sum().backward()
    assert x.grad is not None
    assert x.grad.shape == x.shape
