"""Deformable RoI pooling (https://arxiv.org/abs/1703.06211): RoIAlign with shifted bins.

Implemented in plain PyTorch, so that the shifts get gradients: torchvision's RoIAlign has none for
its boxes. Where shapes are fixed, as in exported programs, it is RoIAlign of the bins.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from detzoo.ops.fixed_shapes import shapes_are_fixed
from detzoo.ops.roi_align import roi_align

WHOLE = 1e-5  # of a bin's side
CHUNK = 32  # number of RoIs whose samples are in memory at once


def deform_roi_pool(feature: Tensor, rois: Tensor, shifts: Tensor, *, stride: int) -> Tensor:
    """``feature`` (B, C, H, W), RoIs (R, 5: image, x1, y1, x2, y2 in pixels) -> (R, C, S, S).

    ``shifts`` (R, 2, S, S) move each bin, in units of the RoI's width (first) and height. A bin
    averages as many samples as it spans cells, as RoIAlign does with ``aligned`` and a sampling
    ratio of 0.
    """
    if shapes_are_fixed(feature.device):
        return pool_bins(feature, rois, shifts, stride=stride)
    size = shifts.shape[3]
    cells = rois[:, 1:] / stride - 0.5
    # One copy to the host for all RoIs: the number of samples per bin determines shapes.
    counts = ((cells[:, 2:] - cells[:, :2]) / size).ceil().clamp(min=0)
    most = [max(int(n), 1) for n in counts.amax(1).tolist()]
    pooled = [feature.new_zeros(0, feature.shape[1], size, size) + 0 * shifts.sum()]
    for first in range(0, len(rois), CHUNK):
        part = slice(first, first + CHUNK)
        pooled.append(
            checkpoint(
                _pool,
                feature,
                rois[part, 0].long(),
                cells[part],
                counts[part],
                shifts[part],
                max(most[part]),
                use_reentrant=False,
            )
        )
    return torch.cat(pooled)


def pool_bins(feature: Tensor, rois: Tensor, shifts: Tensor, *, stride: int) -> Tensor:
    """The same by RoIAlign, which takes each bin for a RoI with a single one; the shifts get no
    gradients."""
    size = shifts.shape[3]
    bins = torch.arange(size, device=rois.device)
    corners, sides = rois[:, 1:3, None, None], (rois[:, 3:] - rois[:, 1:3])[..., None, None]
    first = torch.stack([bins.expand(size, size), bins[:, None].expand(size, size)])
    low = corners + sides * (first / size + shifts)  # (R, 2: x and y, S, S)
    # A bin of whole cells must not become longer by rounding: it would have a sample more.
    high = low + sides / size * (1 - WHOLE)
    image = rois[:, :1, None, None].expand(-1, -1, size, size)
    boxes = torch.cat([image, low, high], 1).permute(0, 2, 3, 1).flatten(0, 2)  # (R * S * S, 5)
    pooled = roi_align(feature, boxes, 1, stride)
    return pooled.view(-1, size, size, feature.shape[1]).permute(0, 3, 1, 2)


def _pool(
    feature: Tensor, images: Tensor, cells: Tensor, counts: Tensor, shifts: Tensor, most: int
) -> Tensor:
    """Pools RoIs (R, 4), in cells, with ``counts`` (R, 2: x, y) samples per bin, at most
    ``most``."""
    _, _, height, width = feature.shape
    extent = cells[:, 2:] - cells[:, :2]
    size = shifts.shape[3]
    bins = torch.arange(size, device=cells.device)
    columns = _samples(
        cells[:, 0], extent[:, 0], counts[:, 0], shifts[:, 0], bins[None, None, :], width, most
    )
    rows = _samples(
        cells[:, 1], extent[:, 1], counts[:, 1], shifts[:, 1], bins[None, :, None], height, most
    )
    flat = feature.permute(0, 2, 3, 1).flatten(0, 2)  # (B * H * W, C)
    pooled = feature.new_zeros(len(cells), size, size, feature.shape[1])
    for row, row_weight in rows:
        for column, column_weight in columns:
            index = images[:, None, None, None, None] * height + row[..., :, None]
            index = index * width + column[..., None, :]
            weight = row_weight[..., :, None] * column_weight[..., None, :]
            values = flat[index.flatten()].view(*index.shape, -1)
            pooled = pooled + torch.einsum("rijyx,rijyxc->rijc", weight.to(values), values)
    return pooled.permute(0, 3, 1, 2)


def _samples(
    start: Tensor,
    extent: Tensor,
    counts: Tensor,
    shifts: Tensor,
    bins: Tensor,
    cells: int,
    most: int,
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The two cells around each sample along one axis, and their weights in the bin's average, each
    (R, S, S, ``most``). ``start``, ``extent`` and ``counts`` (R,) describe the RoIs."""
    start, extent, counts = (x[:, None, None, None] for x in (start, extent, counts))
    numbers = torch.arange(most, device=start.device)
    within = (numbers + 0.5) / counts.clamp(min=1)
    size = shifts.shape[2]
    position = start + extent * ((bins[..., None] + within) / size + shifts[..., None])
    # Samples more than one cell outside are zero; nearer ones have the border's value.
    counted = (numbers < counts) & (position >= -1) & (position <= cells)
    share = counted / counts.clamp(min=1)
    position = position.clamp(0, cells - 1)
    low = position.detach().long()
    high = (low + 1).clamp(max=cells - 1)
    fraction = position - low
    return (low, share * (1 - fraction)), (high, share * fraction)
