from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torchvision.ops import deform_conv2d as torchvision_deform_conv2d

from detzoo.ops.deform_conv import deform_conv2d
from detzoo.ops.points import cell_centers, draw_uncertain_points, sample_in_rois, sample_points

MAPS = torch.randn(2, 3, 4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def slow_sample(channel: Tensor, x: float, y: float) -> float:
    """Bilinear interpolation at (x, y) in cells, 0 at the first cell's center; zero outside."""
    total = 0.0
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < channel.shape[0] and 0 <= column < channel.shape[1]:
                weight = (1 - abs(y - row)) * (1 - abs(x - column))
                total += weight * channel[row, column].item()
    return total


def test_points_equal_the_loop() -> None:
    points = torch.rand(2, 7, 2, generator=torch.Generator().manual_seed(1)).double() * 1.2 - 0.1
    found = sample_points(MAPS, points)
    assert found.shape == (2, 3, 7)
    for image in range(2):
        for channel in range(3):
            for number, (x, y) in enumerate(points[image].tolist()):
                wanted = slow_sample(MAPS[image, channel], 6 * x - 0.5, 4 * y - 0.5)
                assert found[image, channel, number].item() == pytest.approx(wanted, abs=1e-9)


def test_points_in_rois_equal_the_loop() -> None:
    rois = torch.tensor([[1.0, 8, 4, 40, 20], [0, 0, 0, 48, 32], [1, 5, 6, 7, 9]]).double()
    points = torch.rand(3, 5, 2, generator=torch.Generator().manual_seed(2)).double()
    found = sample_in_rois(MAPS, 8.0, rois, points)
    assert found.shape == (3, 3, 5)
    for roi in range(3):
        image, x1, y1, x2, y2 = rois[roi].tolist()
        for number, (x, y) in enumerate(points[roi].tolist()):
            across, down = (x1 + x * (x2 - x1)) / 8 - 0.5, (y1 + y * (y2 - y1)) / 8 - 0.5
            for channel in range(3):
                wanted = slow_sample(MAPS[int(image), channel], across, down)
                assert found[roi, channel, number].item() == pytest.approx(wanted, abs=1e-9)


def test_gradients_of_points() -> None:
    maps = MAPS.clone().requires_grad_()
    rois = torch.tensor([[1.0, 8, 4, 40, 20], [0, 0, 0, 48, 32]]).double()
    points = torch.rand(2, 4, 2, generator=torch.Generator().manual_seed(3)).double()
    assert torch.autograd.gradcheck(lambda m: sample_in_rois(m, 8.0, rois, points), (maps,))


def test_uncertain_points_are_those_near_zero() -> None:
    torch.manual_seed(0)
    # Logits rise from left to right, and are zero in the middle.
    logits = torch.linspace(-1, 1, 8).expand(2, 8, 8)
    points = draw_uncertain_points(logits, 40, oversampling=3.0, uncertain_part=0.75)
    assert points.shape == (2, 40, 2)
    values = sample_points(logits[:, None], points)[:, 0].abs()
    # A quarter of three times as many points have logits from -0.25 to 0.25.
    assert (values[:, :30] < 0.4).all()
    assert (values[:, 30:] > 0.4).any()
    none = draw_uncertain_points(logits[:0], 40, oversampling=3.0, uncertain_part=0.75)
    assert none.shape == (0, 40, 2)


def test_no_rois() -> None:
    found = sample_in_rois(MAPS.float(), 8.0, torch.zeros(0, 5), torch.zeros(0, 4, 2))
    assert found.shape == (0, 3, 4)


def test_centers_of_cells() -> None:
    wanted = [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]
    assert cell_centers(2, torch.device("cpu")).tolist() == wanted


@pytest.mark.parametrize("weighted", [False, True])
def test_deformable_convolution_in_bfloat16(weighted: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    x, shifts = (torch.randn(1, n, 5, 5, generator=generator) for n in (4, 18))
    kernel, bias = torch.randn(6, 4, 3, 3, generator=generator), torch.randn(6, generator=generator)
    weights = torch.rand(1, 9, 5, 5, generator=generator) if weighted else None
    wanted = torchvision_deform_conv2d(x, shifts, kernel, bias, padding=1, mask=weights)
    same = deform_conv2d(x, shifts, kernel, bias, padding=1, mask=weights)
    assert torch.equal(same, wanted)
    low = deform_conv2d(x.bfloat16(), shifts, kernel, bias, padding=1, mask=weights)
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low.float(), wanted, rtol=0.05, atol=0.1)
