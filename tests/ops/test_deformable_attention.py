"""Attention to locations between cells, against a reference that reads like the definition."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from detzoo.ops import deformable_attention as module
from detzoo.ops.deformable_attention import deformable_attention

GRIDS = ((3, 4), (2, 1))


@pytest.fixture(autouse=True, params=["rows", "maps"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """By rows, as on a CPU, and by maps, as on a GPU and in programs."""
    monkeypatch.setattr(module, "works_by_rows", lambda _: request.param == "rows")
    monkeypatch.setattr(module, "MIN_CHANNELS", 1)


def inputs(
    queries: int = 3, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, tuple[tuple[int, int], ...], Tensor, Tensor]:
    """Two images, two heads of three channels, two levels, two points; some outside."""
    generator = torch.Generator().manual_seed(0)
    cells = sum(h * w for h, w in GRIDS)
    values = torch.randn((2, cells, 2, 3), generator=generator, dtype=dtype)
    locations = torch.rand((2, queries, 2, 2, 2, 2), generator=generator, dtype=dtype) * 1.6 - 0.3
    weights = torch.rand((2, queries, 2, 2, 2), generator=generator, dtype=dtype)
    return values, GRIDS, locations, weights


def reference(
    values: Tensor, grids: tuple[tuple[int, int], ...], locations: Tensor, weights: Tensor
) -> Tensor:
    batch, queries, heads, levels, points = weights.shape
    out = values.new_zeros((batch, queries, heads, values.shape[3]))
    for b, q, m, level, t in torch.cartesian_prod(
        *(torch.arange(n) for n in (batch, queries, heads, levels, points))
    ).tolist():
        height, width = grids[level]
        start = sum(h * w for h, w in grids[:level])
        x, y = locations[b, q, m, level, t].tolist()
        x, y = x * width - 0.5, y * height - 0.5  # in cells, 0 at the first center
        for row in (math.floor(y), math.floor(y) + 1):
            for column in (math.floor(x), math.floor(x) + 1):
                if 0 <= row < height and 0 <= column < width:
                    share = (1 - abs(y - row)) * (1 - abs(x - column))
                    cell = values[b, start + row * width + column, m]
                    out[b, q, m] += weights[b, q, m, level, t] * share * cell
    return out.flatten(2)


def test_equals_the_definition() -> None:
    torch.testing.assert_close(deformable_attention(*inputs()), reference(*inputs()))


def test_a_place_at_a_center_is_that_cell() -> None:
    values = torch.arange(12.0).view(1, 12, 1, 1)
    locations = torch.tensor([2.5 / 4, 1.5 / 3]).view(1, 1, 1, 1, 1, 2)
    found = deformable_attention(values, ((3, 4),), locations, torch.ones(1, 1, 1, 1, 1))
    assert found.item() == pytest.approx(6.0)


def test_no_queries() -> None:
    assert deformable_attention(*inputs(queries=0)).shape == (2, 0, 6)


def test_gradients() -> None:
    values, grids, locations, weights = inputs(queries=2)
    arguments = [x.requires_grad_() for x in (values, locations, weights)]

    def run(values: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
        return deformable_attention(values, grids, locations, weights)

    assert torch.autograd.gradcheck(run, arguments)
