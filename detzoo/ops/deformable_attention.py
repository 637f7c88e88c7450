"""Multi-scale deformable attention (https://arxiv.org/abs/2010.04159)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def deformable_attention(
    values: Tensor, grids: Sequence[tuple[int, int]], locations: Tensor, weights: Tensor
) -> Tensor:
    """Sums the values at each query's sampling locations, weighted by attention -> (B, Q, M * D).

    ``values`` (B, S, M, D) are the cells of L maps of sizes ``grids`` (height, width),
    concatenated, in M heads of D channels. ``locations`` (B, Q, M, L, T, 2) are x and y in
    normalized coordinates, sampled bilinearly with zeros outside the map; ``weights`` (B, Q, M, L,
    T) are the attention weights.
    """
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
