from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torchvision.ops import roi_align

from detzoo.ops.deform_roi_pool import deform_roi_pool, pool_bins


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def feature(batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, 6, 8, dtype=torch.double, generator=generator())


# Within the map, over its border, beside it, without extent, of many cells per bin.
ROIS = torch.tensor(
    [
        [0, 4, 4, 30, 22],
        [1, -20, 10, 20, 60],
        [1, 200, 200, 260, 240],
        [0, 12, 12, 12, 12],
        [0, 0, 0, 64, 48],
    ],
    dtype=torch.double,
)


def bilinear(image: Tensor, y: float, x: float) -> Tensor:
    _, height, width = image.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return torch.zeros_like(image[:, 0, 0])
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    v, u = y - top, x - left
    upper = image[:, top, left] * (1 - u) + image[:, top, right] * u
    lower = image[:, bottom, left] * (1 - u) + image[:, bottom, right] * u
    return upper * (1 - v) + lower * v


def slow(x: Tensor, rois: Tensor, shifts: Tensor, stride: int) -> Tensor:
    size = shifts.shape[3]
    out = torch.zeros(len(rois), x.shape[1], size, size, dtype=x.dtype)
    for r, (image, *corners) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = (corner / stride - 0.5 for corner in corners)
        columns, rows = (math.ceil((end - start) / size) for start, end in ((x1, x2), (y1, y2)))
        for i in range(size):
            for j in range(size):
                left = x1 + (x2 - x1) * (j / size + float(shifts[r, 0, i, j]))
                top = y1 + (y2 - y1) * (i / size + float(shifts[r, 1, i, j]))
                for k in range(rows):
                    for m in range(columns):
                        y = top + (y2 - y1) / size * (k + 0.5) / rows
                        across = left + (x2 - x1) / size * (m + 0.5) / columns
                        out[r, :, i, j] += bilinear(x[int(image)], y, across) / (rows * columns)
    return out


def test_equals_the_slow_one() -> None:
    shifts = 0.3 * torch.randn(5, 2, 3, 3, dtype=torch.double, generator=generator())
    ours = deform_roi_pool(feature(), ROIS, shifts, stride=8)
    torch.testing.assert_close(ours, slow(feature(), ROIS, shifts, 8))
    assert not ours[2].any()


def test_bins_as_regions() -> None:
    shifts = 0.3 * torch.randn(5, 2, 3, 3, dtype=torch.double, generator=generator())
    ours = pool_bins(feature(), ROIS, shifts, stride=8)
    wanted = deform_roi_pool(feature(), ROIS, shifts, stride=8)
    torch.testing.assert_close(ours, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("cells", range(1, 9))
def test_bins_of_whole_cells(cells: int) -> None:
    """Rounding gives none of them a sample more."""
    left = torch.rand(50, 2, generator=generator()) * 10
    rois = torch.cat([torch.zeros(50, 1), left, left + 7 * 4 * cells], 1)
    shifts = 0.1 * torch.randn(50, 2, 7, 7, generator=generator())
    x = torch.randn(1, 3, 70, 70, generator=generator())
    ours, wanted = (pool(x, rois, shifts, stride=4) for pool in (pool_bins, deform_roi_pool))
    lengths = (rois[:, 3:] / 4 - 0.5) - (rois[:, 1:3] / 4 - 0.5)
    whole = (lengths / 7 <= cells).all(1)
    assert whole.sum() > 10
    torch.testing.assert_close(ours[whole], wanted[whole], rtol=1e-3, atol=1e-3)


def test_without_shifts_it_is_roi_align() -> None:
    rois = torch.rand(40, 5, dtype=torch.double, generator=generator()) * 40
    rois[:, 0] = torch.arange(40) % 2
    rois[:, 3:] += rois[:, 1:3]
    ours = deform_roi_pool(feature(), rois, torch.zeros(40, 2, 7, 7).double(), stride=8)
    torch.testing.assert_close(ours, roi_align(feature(), rois, 7, 1 / 8, aligned=True))


def test_gradients() -> None:
    x = feature().requires_grad_()
    shifts = 0.2 * torch.randn(2, 2, 2, 2, dtype=torch.double, generator=generator())
    shifts.requires_grad_()
    rois = ROIS[[0, 4]]
    assert torch.autograd.gradcheck(
        lambda *a: deform_roi_pool(a[0], rois, a[1], stride=8), (x, shifts)
    )


@pytest.mark.parametrize("count", [0, 33])
def test_any_number_of_regions(count: int) -> None:
    shifts = torch.zeros(count, 2, 7, 7, requires_grad=True)
    out = deform_roi_pool(feature().float(), ROIS[[0]].float().expand(count, 5), shifts, stride=8)
    assert out.shape == (count, 3, 7, 7)
    out.sum().backward()
    assert shifts.grad is not None
    assert torch.isfinite(shifts.grad).all()
