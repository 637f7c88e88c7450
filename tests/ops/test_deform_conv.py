"""Deformable convolution by rows and by sampling, against torchvision's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision.ops
from torch import Tensor

from detzoo.ops import deform_conv
from detzoo.ops.deform_conv import deform_conv2d, sampled_deform_conv2d


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


GIVEN = [
    arguments(1, 1, False, 1, 1),
    arguments(1, 1, True, 2, 1),
    arguments(4, 1, True, 1, 2),
    arguments(1, 4, False, 1, 1),
    arguments(2, 4, True, 2, 2),
]


@pytest.mark.parametrize("given", GIVEN)
def test_the_same_as_the_operator(given: tuple[Tensor | int | bool, ...]) -> None:
    wanted = torch.ops.torchvision.deform_conv2d.default(*given)
    torch.testing.assert_close(sampled_deform_conv2d(*given), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("given", GIVEN)
def test_rows_give_the_same_results_and_gradients(
    given: tuple[Any, ...], layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deform_conv, "MIN_CHANNELS", 1)
    x, weight, offset, mask, bias, stride, _, pad_h, pad_w, dilation, _, _, _, use_mask = given
    # Where an offset is 0, a sample is a cell, and of its two neighbors the next one counts.
    offset = torch.where(torch.arange(offset.numel()).view_as(offset) % 5 == 0, 0.0, offset)
    place = ((stride, stride), (pad_h, pad_w), (dilation, dilation))
    tensors = [x, offset, weight, bias, *([mask] if use_mask else [])]

    def results(function: Callable[..., Tensor]) -> list[Tensor]:
        learned = [tensor.double().requires_grad_() for tensor in tensors]
        x, offset, weight, bias, *masks = learned
        out = function(x.to(memory_format=layout), offset, weight, bias, *place, *masks)
        loss = (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum()
        return [out, *torch.autograd.grad(loss, learned)]

    found, wanted = results(deform_conv2d), results(torchvision.ops.deform_conv2d)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


def test_bfloat16_is_computed_in_float32() -> None:
    x, offset, weight = torch.randn(1, 8, 5, 4), torch.randn(1, 18, 5, 4), torch.randn(8, 8, 3, 3)
    x, weight = x.bfloat16(), weight.bfloat16()
    wide = deform_conv2d(x.float(), offset, weight.float(), padding=1)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(deform_conv2d(x.float(), offset, weight.float(), padding=1), wide)
        assert torch.equal(deform_conv2d(x, offset, weight, padding=1), wide.bfloat16())


def test_offsets_far_outside() -> None:
    """As those of a model that diverges."""
    offset = torch.zeros(1, 18, 1, 6)
    offset[0, 0, 0] = torch.tensor([1e30, -1e30, float("inf"), float("nan"), -1.0, 0.0])
    x, weight = torch.ones(1, 8, 1, 6), torch.ones(1, 8, 3, 3)
    x.requires_grad_()
    offset.requires_grad_()
    out = deform_conv2d(x, offset, weight, padding=1)
    out.sum().backward()
    assert out.flatten().tolist() == [16, 24, 24, 24, 24, 16]
    for gradient in (x.grad, offset.grad):
        assert gradient is not None
        assert gradient.isfinite().all()
