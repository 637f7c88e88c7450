from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from detzoo.ops.carafe import carafe


def inputs(size: int = 3, scale: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((2, 3, 4, 5), dtype=torch.double, generator=generator)
    kernels = torch.randn(
        (2, size**2, scale * 4, scale * 5), dtype=torch.double, generator=generator
    )
    return x, kernels


def slow(x: Tensor, kernels: Tensor, scale: int) -> Tensor:
    images, channels, height, width = x.shape
    size = int(kernels.shape[1] ** 0.5)
    out = torch.zeros(images, channels, scale * height, scale * width, dtype=x.dtype)
    for row in range(scale * height):
        for column in range(scale * width):
            for i in range(size):
                for j in range(size):
                    y, z = row // scale + i - size // 2, column // scale + j - size // 2
                    if 0 <= y < height and 0 <= z < width:
                        weight = kernels[:, i * size + j, row, column]
                        out[:, :, row, column] += weight[:, None] * x[:, :, y, z]
    return out


@pytest.mark.parametrize(("size", "scale"), [(1, 2), (3, 2), (5, 2), (3, 3)])
def test_equals_the_loop(size: int, scale: int) -> None:
    x, kernels = inputs(size, scale)
    torch.testing.assert_close(carafe(x, kernels), slow(x, kernels, scale))


@pytest.mark.parametrize("size", [1, 3])
def test_images_do_not_depend_on_each_other(size: int) -> None:
    x, kernels = inputs(size)
    torch.testing.assert_close(carafe(x[1:], kernels[1:]), carafe(x, kernels)[1:])


def test_any_memory_format() -> None:
    x, kernels = inputs()
    last = (value.contiguous(memory_format=torch.channels_last) for value in (x, kernels))
    torch.testing.assert_close(carafe(*last), carafe(x, kernels))


def test_gradients() -> None:
    x, kernels = (value[:, :, :4, :4].clone().requires_grad_() for value in inputs())
    torch.autograd.gradcheck(carafe, (x[:, :, :2, :2], kernels))


def test_in_programs_nothing_overlaps_in_memory() -> None:
    class Upsample(nn.Module):
        def forward(self, x: Tensor, kernels: Tensor) -> Tensor:
            return carafe(x, kernels)

    program = torch.export.export(Upsample(), inputs())
    assert "as_strided" not in str(program.graph)
    torch.testing.assert_close(program.module()(*inputs()), carafe(*inputs()))


def test_half_precision_maps_stay_so() -> None:
    x, kernels = inputs()
    assert carafe(x.bfloat16(), kernels.float()).dtype == torch.bfloat16


def test_no_images() -> None:
    x = torch.zeros(0, 3, 4, 5, requires_grad=True)
    out = carafe(x, torch.zeros(0, 9, 8, 10))
    assert out.shape == (0, 3, 8, 10)
    out.sum().backward()
    assert x.grad is not None
    assert x.grad.shape == x.shape
