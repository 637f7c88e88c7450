"""Keypoints as heatmaps: targets drawn from objects, and peaks read from predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from detzoo.structures import ImageInfo

# A box whose corners are off by the radius of the bump overlaps the object's by this at least.
MIN_OVERLAP = 0.3


@dataclass(frozen=True)
class Peaks:
    """The K highest cells of one image's heatmaps.

    ``scores`` (K,) fall; ``labels`` (K,) are their classes, ``cells`` (K,) their places in the
    flattened map, ``position`` (K, 2) the same as float x, y in cells.
    """

    scores: Tensor
    labels: Tensor
    cells: Tensor
    position: Tensor


def input_size(infos: Sequence[ImageInfo]) -> tuple[int, int]:
    """(height, width) of the batch in pixels."""
    return (
        max(info.padded_size[0] for info in infos),
        max(info.padded_size[1] for info in infos),
    )


def gaussian_radius(size: Tensor) -> Tensor:
    """Whole cells (N,) that a keypoint of boxes with ``size`` (N, 2), in cells, may be off.

    The least of three: with one corner inside the box and one outside, with both inside, and with
    both outside, by as much each.
    """
    total, area = size.sum(1), size.prod(1)
    one_inside = _smaller_root(1, -total, area * (1 - MIN_OVERLAP) / (1 + MIN_OVERLAP))
    both_inside = _smaller_root(4, -2 * total, area * (1 - MIN_OVERLAP))
    # Published models were trained with this denominator, which is not the root's (2 * a).
    a, b = 4 * MIN_OVERLAP, -2 * MIN_OVERLAP * total
    root = (b.square() - 4 * a * (MIN_OVERLAP - 1) * area).sqrt()
    both_outside = (b + root) / (2 * a)
    return torch.minimum(torch.minimum(one_inside, both_inside), both_outside).clamp(min=0).floor()


def _smaller_root(a: float, b: Tensor, c: Tensor) -> Tensor:
    return (-b - (b.square() - 4 * a * c).sqrt()) / (2 * a)


def draw_bumps(
    cells: Tensor, radius: Tensor, labels: Tensor, num_classes: int, size: tuple[int, int]
) -> Tensor:
    """Heatmaps (C, H, W) with a Gaussian bump of height one at each of ``cells`` (N, 2) x, y.

    A bump ends ``radius`` (N,) cells from its middle, in x and in y, three deviations away. Where
    bumps of a class meet, the higher one counts.
    """
    height, width = size
    maps = cells.new_zeros((num_classes, height, width), dtype=torch.float32)
    if len(cells) == 0:
        return maps
    x = torch.arange(width, device=cells.device) - cells[:, :1]  # (N, W)
    y = torch.arange(height, device=cells.device) - cells[:, 1:]  # (N, H)
    sigma = ((2 * radius + 1) / 6)[:, None, None]
    distance = x.square()[:, None] + y.square()[:, :, None]  # (N, H, W)
    reach = radius[:, None]
    inside = (x.abs() <= reach)[:, None] & (y.abs() <= reach)[:, :, None]
    bumps = (-distance / (2 * sigma.square())).exp() * inside
    index = labels[:, None, None].expand_as(bumps)
    return maps.scatter_reduce(0, index, bumps.to(maps), "amax")


def at_cells(cells: Tensor, values: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Maps (K, H, W) that hold ``values`` (N, K) at ``cells`` (N, 2) x, y, and a mask (H, W) of
    these. Where objects share a cell, the last one has it; elsewhere maps are zero."""
    height, width = size
    place = cells[:, 1] * width + cells[:, 0]
    number = torch.arange(1, len(cells) + 1, device=cells.device)
    owner = number.new_zeros(height * width).scatter_reduce(0, place, number, "amax")
    table = torch.cat([values.new_zeros((1, values.shape[1])), values])
    return table[owner].T.reshape(-1, height, width), (owner > 0).view(height, width)


def find_peaks(heat: Tensor, count: int, window: int) -> Peaks:
    """The ``count`` highest local maxima of one image's ``heat`` (C, H, W), over all classes.

    A cell is one that no other in the ``window`` cells around it exceeds.
    """
    height, width = heat.shape[1:]
    highest = F.max_pool2d(heat, window, stride=1, padding=window // 2)
    kept = torch.where(highest == heat, heat, 0.0).flatten()
    scores, index = kept.topk(min(count, len(kept)))
    labels = index.div(height * width, rounding_mode="floor")
    cells = index % (height * width)
    y, x = cells.div(width, rounding_mode="floor"), cells % width
    return Peaks(scores, labels, cells, torch.stack([x, y], 1).to(heat.dtype))


def read_cells(maps: Tensor, cells: Tensor) -> Tensor:
    """Values (N, K) of ``maps`` (K, H, W) at flat ``cells`` (N,)."""
    return maps.flatten(1)[:, cells].T.float()
