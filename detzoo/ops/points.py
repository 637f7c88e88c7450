"""Sampling maps at arbitrary points."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from detzoo.ops.constants import constant
from detzoo.ops.fixed_shapes import regions_are_even


def sample_points(maps: Tensor, points: Tensor) -> Tensor:
    """Samples maps (B, C, H, W) at points (B, P, 2: x, y) in normalized coordinates -> (B, C, P).

    Bilinear between the centers of cells, zero outside the map.
    """
    return F.grid_sample(maps, 2 * points[:, :, None] - 1, align_corners=False)[..., 0]


def sample_in_rois(maps: Tensor, stride: float, rois: Tensor, points: Tensor) -> Tensor:
    """Samples maps (B, C, H, W) at points (R, P, 2) in normalized coordinates of RoIs (R, 5) -> (R,
    C, P).

    ``stride`` is the size of a cell of the maps in the RoIs' pixels.
    """
    low, high = rois[:, None, 1:3], rois[:, None, 3:5]
    size = constant((maps.shape[3] * stride, maps.shape[2] * stride), rois.device, rois.dtype)
    locations = (low + points * (high - low)) / size
    if regions_are_even():
        own = locations.unflatten(0, (len(maps), -1)).flatten(1, 2)  # (B, R / B * P, 2)
        values = sample_points(maps, own.to(maps.dtype))
        return values.unflatten(2, (-1, points.shape[1])).transpose(1, 2).flatten(0, 1)
    sampled, positions = [], []
    for image in range(len(maps)):
        position = (rois[:, 0] == image).nonzero()[:, 0]
        own = locations[position].flatten(0, 1)[None]
        values = sample_points(maps[image : image + 1], own.to(maps.dtype))[0]
        sampled.append(values.unflatten(1, (len(position), points.shape[1])).transpose(0, 1))
        positions.append(position)
    return torch.cat(sampled)[torch.cat(positions).argsort()]


@torch.no_grad()
def draw_uncertain_points(
    logits: Tensor, count: int, *, oversampling: float, uncertain_part: float
) -> Tensor:
    """Draws ``count`` random points on each map (N, H, W) of logits -> (N, count, 2: x, y), in
    normalized coordinates (PointRend, https://arxiv.org/abs/1912.08193).

    ``uncertain_part`` of them are the most uncertain of ``oversampling`` times as many: those whose
    interpolated logit is closest to 0, at the border of an object.
    """
    num_uncertain = int(uncertain_part * count)
    drawn = torch.rand((len(logits), int(oversampling * count), 2), device=logits.device)
    values = sample_points(logits[:, None], drawn.to(logits.dtype))[:, 0]
    index = values.abs().topk(num_uncertain, 1, largest=False).indices
    uncertain = drawn.gather(1, index[..., None].expand(-1, -1, 2))
    others = torch.rand((len(logits), count - num_uncertain, 2), device=logits.device)
    return torch.cat([uncertain, others], 1)


def cell_centers(size: int, device: torch.device) -> Tensor:
    """The centers of size * size cells, row by row, (size * size, 2: x, y) in normalized
    coordinates."""
    place = (torch.arange(size, device=device) + 0.5) / size
    y, x = torch.meshgrid(place, place, indexing="ij")
    return torch.stack([x, y], -1).flatten(0, 1)
