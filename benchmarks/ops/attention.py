"""Deformable attention in an encoder layer of Deformable DETR, on a picture of 400 x 672."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.ops.pair import Run, pair
from detzoo.ops.deformable_attention import deformable_attention

GRIDS = ((50, 84), (25, 42), (13, 21), (7, 11))


def prepare(device: torch.device, *, training: bool) -> tuple[Run, Run]:
    generator = torch.Generator().manual_seed(0)
    cells = sum(height * width for height, width in GRIDS)
    values = torch.randn((1, cells, 8, 32), generator=generator)
    places = torch.rand((1, cells, 8, 4, 4, 2), generator=generator)
    weights = torch.rand((1, cells, 8, 4, 4), generator=generator)
    return pair(
        lambda values, places, weights: straightforward(values, GRIDS, places, weights),
        lambda values, places, weights: deformable_attention(values, GRIDS, places, weights),
        [x.to(device) for x in (values, places, weights)],
        training=training,
    )


def straightforward(
    values: Tensor, grids: Sequence[tuple[int, int]], places: Tensor, weights: Tensor
) -> Tensor:
    """All samples of all levels side by side, then multiplied and summed."""
    batch, _, heads, channels = values.shape
    queries = places.shape[1]
    samples = []
    for level, (grid, cells) in enumerate(zip(grids, values.split([h * w for h, w in grids], 1))):
        cells = cells.flatten(2).transpose(1, 2).reshape(batch * heads, channels, *grid)
        at = (2 * places[:, :, :, level] - 1).transpose(1, 2).flatten(0, 1)
        samples.append(F.grid_sample(cells, at, align_corners=False))
    shares = weights.transpose(1, 2).reshape(batch * heads, 1, queries, -1)
    total = (torch.stack(samples, -2).flatten(-2) * shares).sum(-1)
    return total.view(batch, heads * channels, queries).transpose(1, 2)
