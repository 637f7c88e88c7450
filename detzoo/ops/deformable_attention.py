"""Attention to a few predicted places of a pyramid (https://arxiv.org/abs/2010.04159)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def deformable_attention(
    values: Tensor, grids: Sequence[tuple[int, int]], places: Tensor, weights: Tensor
) -> Tensor:
    """The weighted sum of what lies at each query's places -> (B, Q, M * D).

    ``values`` (B, S, M, D) are the cells of L maps of ``grids`` (height, width), one map after the
    other, in M heads of D channels. A query looks at ``places`` (B, Q, M, L, T, 2): x and y in
    parts of the map, between cells by linear interpolation, nothing beyond the border; they count
    by ``weights`` (B, Q, M, L, T).
    """
    batch, _, heads, channels = values.shape
    queries, num_places = places.shape[1], places.shape[4]
    # Queries come last: the sum over places then runs over whole rows of memory, and one fused
    # multiplication and addition per place keeps no products for the backward pass.
    maps = values.permute(0, 2, 3, 1).flatten(0, 1)  # (BM, D, S)
    at = (2 * places - 1).permute(0, 2, 3, 4, 1, 5).flatten(0, 1)  # (BM, L, T, Q, 2) in [-1, 1]
    shares = weights.permute(0, 2, 3, 4, 1).flatten(0, 1)[..., None, :]  # (BM, L, T, 1, Q)
    total = values.new_zeros((batch * heads, channels, queries))
    for level, (grid, cells) in enumerate(zip(grids, maps.split([h * w for h, w in grids], 2))):
        found = F.grid_sample(cells.unflatten(2, grid), at[:, level], align_corners=False)
        for place in range(num_places):
            total = torch.addcmul(total, found[:, :, place], shares[:, level, place])
    return total.view(batch, heads * channels, queries).transpose(1, 2)
