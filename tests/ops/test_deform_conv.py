"""Deformable convolution by sampling."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from detzoo.ops.deform_conv import sampled_deform_conv2d


def arguments(
    groups: int, offset_groups: int, use_mask: bool, stride: int, dilation: int
) -> tuple[Tensor | int | bool, ...]:
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    height, width = 9, 7
    pad_h, pad_w = dilation, 2
    rows = (height + 2 * pad_h - 2 * dilation - 1) // stride + 1
    columns = (width + 2 * pad_w - dilation - 1) // stride + 1
    taps = 3 * 2 * offset_groups
    return (
        drawn(2, 8, height, width),
        drawn(12, 8 // groups, 3, 2),
        2 * drawn(2, 2 * taps, rows, columns),
        drawn(2, taps, rows, columns).sigmoid() if use_mask else torch.zeros(2, 1),
        drawn(12),
        stride,
        stride,
        pad_h,
        pad_w,
        dilation,
        dilation,
        groups,
        offset_groups,
        use_mask,
    )


@pytest.mark.parametrize(
    "given",
    [
        arguments(1, 1, False, 1, 1),
        arguments(1, 1, True, 2, 1),
        arguments(4, 1, True, 1, 2),
        arguments(1, 4, False, 1, 1),
        arguments(2, 4, True, 2, 2),
    ],
)
def test_the_same_as_the_operator(given: tuple[Tensor | int | bool, ...]) -> None:
    wanted = torch.ops.torchvision.deform_conv2d.default(*given)
    torch.testing.assert_close(sampled_deform_conv2d(*given), wanted, rtol=1e-4, atol=1e-4)
