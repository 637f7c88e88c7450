"""Multi-scale deformable attention (https://arxiv.org/abs/2010.04159)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from detzoo.ops.weighted_rows import Terms, neighbors, weighted_rows, works_by_rows

# Of a head; for fewer, to find the rows takes longer than to sum them. Published models have 32.
MIN_CHANNELS = 24


def deformable_attention(
    values: Tensor, grids: Sequence[tuple[int, int]], locations: Tensor, weights: Tensor
) -> Tensor:
    """Sums the values at each query's sampling locations, weighted by attention -> (B, Q, M * D).

    ``values`` (B, S, M, D) are the cells of L maps of sizes ``grids`` (height, width),
    concatenated, in M heads of D channels. ``locations`` (B, Q, M, L, T, 2) are x and y in
    normalized coordinates, sampled bilinearly with zeros outside the map; ``weights`` (B, Q, M, L,
    T) are the attention weights.
    """
    if works_by_rows(values) and values.shape[3] >= MIN_CHANNELS:
        with torch.autocast("cpu", enabled=False):
            return _by_rows(values.to(locations.dtype), grids, locations, weights)
    return _by_maps(values, grids, locations, weights)


def _by_maps(
    values: Tensor, grids: Sequence[tuple[int, int]], locations: Tensor, weights: Tensor
) -> Tensor:
    batch, _, heads, channels = values.shape
    queries, num_points = locations.shape[1], locations.shape[4]
    # With queries last, the sum over points runs over contiguous rows, and one fused multiply-add
    # per point keeps no products for the backward pass.
    maps = values.permute(0, 2, 3, 1).flatten(0, 1)  # (BM, D, S)
    at = (2 * locations - 1).permute(0, 2, 3, 4, 1, 5).flatten(0, 1)  # (BM, L, T, Q, 2) in [-1, 1]
    shares = weights.permute(0, 2, 3, 4, 1).flatten(0, 1)[..., None, :]  # (BM, L, T, 1, Q)
    total = values.new_zeros((batch * heads, channels, queries))
    for level, (grid, cells) in enumerate(zip(grids, maps.split([h * w for h, w in grids], 2))):
        found = F.grid_sample(cells.unflatten(2, grid), at[:, level], align_corners=False)
        for point in range(num_points):
            total = torch.addcmul(total, found[:, :, point], shares[:, level, point])
    return total.view(batch, heads * channels, queries).transpose(1, 2)


def _by_rows(
    values: Tensor, grids: Sequence[tuple[int, int]], locations: Tensor, weights: Tensor
) -> Tensor:
    """A sample is a weighted sum of four cells, so that a head's sum over samples is one of four
    times as many: all in a single pass, without the samples in memory."""
    batch, cells, heads, channels = values.shape
    queries, levels, points = locations.shape[1], *locations.shape[3:5]
    # Axes: image, query, head, level, point, cell along y, cell along x.
    heights, widths = torch.tensor(grids).T[:, :, None]  # each (L, 1)
    # Rounded as in ``grid_sample``, since gradients depend on the side of a cell's center.
    x, x_share = neighbors((2 * locations[..., 0] - 1 + 1) * (widths / 2) - 0.5, widths)
    y, y_share = neighbors((2 * locations[..., 1] - 1 + 1) * (heights / 2) - 0.5, heights)
    sizes = [height * width for height, width in grids]
    first = torch.tensor([0, *sizes[:-1]], dtype=torch.int32).cumsum(0, dtype=torch.int32)
    image = torch.arange(batch, dtype=torch.int32)[:, None, None, None, None, None] * cells
    head = torch.arange(heads, dtype=torch.int32)[:, None, None, None]
    row = (image + first[:, None, None] + y * widths[..., None].int()) * heads + head
    index = row[..., :, None] + (x * heads)[..., None, :]
    shares = (y_share * weights[..., None])[..., :, None] * x_share[..., None, :]
    count = 4 * levels * points
    starts = torch.arange(0, batch * queries * heads * count, count, dtype=torch.int32)
    terms = Terms(None, starts, index.flatten(), shares.flatten())
    out = weighted_rows([values.reshape(-1, channels)], [terms])
    return out.view(batch, queries, heads * channels)
