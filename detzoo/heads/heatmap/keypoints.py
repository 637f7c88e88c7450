"""Keypoint heatmaps: drawing targets, and finding peaks in predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from detzoo.errors import ConfigError
from detzoo.structures import ImageInfo

# Minimum IoU with the object of a box whose corners are shifted by the radius of the Gaussian.
MIN_OVERLAP = 0.3


@dataclass(frozen=True)
class Peaks:
    """The K highest cells of one image's heatmaps.

    ``scores`` (K,) in descending order, ``labels`` (K,), ``cells`` (K,) as indices into the
    flattened map, and ``position`` (K, 2) as float x, y in cells.
    """

    scores: Tensor
    labels: Tensor
    cells: Tensor
    position: Tensor


def input_size(infos: Sequence[ImageInfo]) -> tuple[int, int]:
    """The (height, width) of the batch in pixels."""
    return (
        max(info.padded_size[0] for info in infos),
        max(info.padded_size[1] for info in infos),
    )


def gaussian_radius(size: Tensor) -> Tensor:
    """The number of cells (N,) by which corners of boxes with ``size`` (N, 2), in cells, may be
    shifted.

    The minimum over three cases: one corner inside the box and one outside, both inside, both
    outside.
    """
    total, area = size.sum(1), size.prod(1)
    one_inside = _smaller_root(1, -total, area * (1 - MIN_OVERLAP) / (1 + MIN_OVERLAP))
    both_inside = _smaller_root(4, -2 * total, area * (1 - MIN_OVERLAP))
    # The positive root of 4 * o * r^2 + 2 * o * total * r + (o - 1) * area, o = MIN_OVERLAP.
    a, b = 4 * MIN_OVERLAP, -2 * MIN_OVERLAP * total
    root = (b.square() - 4 * a * (MIN_OVERLAP - 1) * area).sqrt()
    both_outside = (b + root) / (2 * a)
    return torch.minimum(torch.minimum(one_inside, both_inside), both_outside).clamp(min=0).floor()


def _smaller_root(a: float, b: Tensor, c: Tensor) -> Tensor:
    return (-b - (b.square() - 4 * a * c).sqrt()) / (2 * a)


def draw_gaussians(
    cells: Tensor, radius: Tensor, labels: Tensor, num_classes: int, size: tuple[int, int]
) -> Tensor:
    """Heatmaps (C, H, W) with a Gaussian of height one at each of ``cells`` (N, 2: x, y).

    A Gaussian is truncated ``radius`` (N,) cells from its center in x and y, at three standard
    deviations. Where Gaussians of a class overlap, the maximum is used.
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
    gaussians = (-distance / (2 * sigma.square())).exp() * inside
    index = labels[:, None, None].expand_as(gaussians)
    return maps.scatter_reduce(0, index, gaussians.to(maps), "amax")


def scatter_cells(cells: Tensor, values: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Maps (K, H, W) with ``values`` (N, K) at ``cells`` (N, 2: x, y) and zeros elsewhere, and a
    mask (H, W) of these cells. If objects share a cell, the last one is used."""
    height, width = size
    place = cells[:, 1] * width + cells[:, 0]
    number = torch.arange(1, len(cells) + 1, device=cells.device)
    owner = number.new_zeros(height * width).scatter_reduce(0, place, number, "amax")
    table = torch.cat([values.new_zeros((1, values.shape[1])), values])
    return table[owner].T.reshape(-1, height, width), (owner > 0).view(height, width)


def check_window(window: int) -> None:
    """Raises :class:`ConfigError` unless ``window`` is odd, so that it has a center."""
    if window % 2 == 0:
        raise ConfigError(f"window: {window} is not odd")


def find_peaks(heat: Tensor, count: int, window: int) -> Peaks:
    """Finds the ``count`` highest local maxima of one image's ``heat`` (C, H, W), over all classes.

    A local maximum is not exceeded within the ``window`` x ``window`` cells around it.
    """
    height, width = heat.shape[1:]
    highest = F.max_pool2d(heat, window, stride=1, padding=window // 2)
    kept = torch.where(highest == heat, heat, 0.0).flatten()
    scores, index = kept.topk(min(count, len(kept)))
    labels = index.div(height * width, rounding_mode="floor")
    cells = index % (height * width)
    y, x = cells.div(width, rounding_mode="floor"), cells % width
    return Peaks(scores, labels, cells, torch.stack([x, y], 1).to(heat.dtype))


def gather_cells(maps: Tensor, cells: Tensor) -> Tensor:
    """The values (N, K) of ``maps`` (K, H, W) at flat ``cells`` (N,)."""
    return maps.flatten(1)[:, cells].T.float()
