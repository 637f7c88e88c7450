"""RoIAlign (https://arxiv.org/abs/1703.06870) on a single map or a feature pyramid."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torchvision
from torch import Tensor

from detzoo.ops.fixed_shapes import shapes_are_fixed
from detzoo.ops.weighted_rows import Terms, weighted_rows, works_by_rows


def rois_of(boxes: Sequence[Tensor]) -> Tensor:
    """Converts boxes per image, each (N_i, 4), to RoIs (R, 5): image index, then the box.

    Coordinates that are not a number, as a model that diverges predicts them, are 0: kernels read
    memory where they point to.
    """
    numbers = [box.new_full((box.shape[0], 1), float(i)) for i, box in enumerate(boxes)]
    return torch.cat([torch.cat(numbers), torch.cat(list(boxes)).nan_to_num(0.0)], 1)


def pyramid_level(rois: Tensor, num_levels: int, finest_scale: float) -> Tensor:
    """The level (R,) of RoIs (R, 5): 0 up to twice ``finest_scale`` pixels, then one per octave;
    also 0 for those whose area is negative or no number."""
    scale = ((rois[:, 3] - rois[:, 1]) * (rois[:, 4] - rois[:, 2])).sqrt()
    level = (scale / finest_scale + 1e-6).log2().floor()
    return torch.where(level > 0, level, 0.0).clamp(max=num_levels - 1).long()


def roi_align(
    feature: Tensor,
    rois: Tensor,
    output_size: int,
    stride: int,
    sampling_ratio: int = 0,
    aligned: bool = True,
) -> Tensor:
    """Pools RoIs (R, 5) from a map (B, C, H, W) -> (R, C, output_size, output_size).

    ``sampling_ratio`` is the number of samples per bin and axis; 0: as many as the bin spans cells.
    ``aligned`` shifts by half a cell, which is correct; old models were trained without it.
    """
    if _works_by_rows(feature, rois, sampling_ratio):
        everyone = torch.arange(len(rois))
        terms = _terms(feature, rois, everyone, output_size, stride, aligned)
        return _pooled([feature], [terms], len(rois), output_size)
    size = (output_size, output_size)
    return torchvision.ops.roi_align(feature, rois, size, 1 / stride, sampling_ratio, aligned)


def pyramid_roi_align(
    features: Sequence[Tensor],
    strides: Sequence[int],
    rois: Tensor,
    *,
    output_size: int,
    sampling_ratio: int,
    aligned: bool,
    finest_scale: float,
) -> Tensor:
    """Pools each RoI (R, 5) from the level that fits its size -> (R, C, output_size, output_size).

    The arguments are those of :func:`roi_align`.
    """
    if len(features) == 1:
        return roi_align(features[0], rois, output_size, strides[0], sampling_ratio, aligned)
    by_rows = _works_by_rows(features[0], rois, sampling_ratio)
    if by_rows and not shapes_are_fixed(rois.device):
        positions = _positions(pyramid_level(rois, len(features), finest_scale), len(features))
        terms = [
            _terms(feature, rois[position], position, output_size, stride, aligned)
            for feature, stride, position in zip(features, strides, positions)
        ]
        return _pooled(features, terms, len(rois), output_size)

    def pool(level: int, rois: Tensor) -> Tensor:
        stride = strides[level]
        return roi_align(features[level], rois, output_size, stride, sampling_ratio, aligned)

    return pyramid_pool(len(features), rois, finest_scale, pool)


def pyramid_pool(
    num_levels: int,
    rois: Tensor,
    finest_scale: float,
    pool: Callable[[int, Tensor], Tensor],
) -> Tensor:
    """``pool(level, rois)`` of each RoI (R, 5), from the level that fits its size."""
    level = pyramid_level(rois, num_levels, finest_scale)
    if shapes_are_fixed(rois.device):
        return _from_every_level(num_levels, rois, level, pool)
    positions = _positions(level, num_levels)
    pooled = [pool(index, rois[position]) for index, position in enumerate(positions)]
    # Undo the sorting by level.
    return torch.cat(pooled)[torch.cat(positions).argsort()]


def _positions(level: Tensor, num_levels: int) -> list[Tensor]:
    """Where the RoIs of each level are."""
    return [(level == index).nonzero()[:, 0] for index in range(num_levels)]


def _from_every_level(
    num_levels: int, rois: Tensor, level: Tensor, pool: Callable[[int, Tensor], Tensor]
) -> Tensor:
    """The same with shapes that do not depend on the sizes of the RoIs.

    Every level processes all RoIs; those of other levels are empty, and cost almost nothing.
    """
    pooled: Tensor | float = 0.0
    for index in range(num_levels):
        own = (level == index)[:, None]
        seen = torch.cat([rois[:, :1], torch.where(own, rois[:, 1:], 0.0)], 1)
        pooled = pooled + torch.where(own[:, :, None, None], pool(index, seen), 0.0)
    assert isinstance(pooled, Tensor)
    return pooled


# --------------------------------------------------------------------------------- on a CPU
#
# A bin is a weighted sum of cells, and a cell a row of all channels: in channels-last memory both
# are contiguous. torchvision processes the channels one by one.


def _works_by_rows(feature: Tensor, rois: Tensor, sampling_ratio: int) -> bool:
    return works_by_rows(feature) and sampling_ratio == 0 and len(rois) > 0


def _pooled(features: Sequence[Tensor], terms: Sequence[Terms], count: int, bins: int) -> Tensor:
    tables = [feature.permute(0, 2, 3, 1).flatten(0, 2) for feature in features]
    rows = weighted_rows(tables, terms)
    return rows.view(count, bins, bins, -1).permute(0, 3, 1, 2)


def _terms(
    feature: Tensor, rois: Tensor, target: Tensor, bins: int, stride: int, aligned: bool
) -> Terms:
    """The cells that each bin of the RoIs (R, 5) sums; ``target`` (R,) are the RoIs' positions in
    the output.

    A bin's weights are the product of those along y and along x. RoIs with the same number of
    samples per bin are processed together.
    """
    height, width = feature.shape[2:]
    corners = rois[:, 1:].detach() / stride - (0.5 if aligned else 0.0)
    low, length = corners[:, :2], corners[:, 2:] - corners[:, :2]  # (R, 2) x, y in cells
    if not aligned:
        length = length.clamp(min=1)
    limit = 4 * max(height, width)  # for RoIs far larger than the map, or not finite
    samples = (length / bins).nan_to_num(0).clamp(0, limit).ceil().int()  # (R, 2)
    kinds, kind = samples.unique(dim=0, return_inverse=True)
    empty = rois.new_zeros(0, dtype=torch.int32)
    rows, index, weight, counts = [target[:0]], [empty], [rois[:0, 0]], [empty]
    of_bins = torch.arange(bins**2)
    for number, (along_x, along_y) in enumerate(kinds.tolist()):
        position = (kind == number).nonzero()[:, 0]
        start, extent = low[position], length[position]
        x, x_weight = _cells(start[:, 0], extent[:, 0], bins, along_x, width)
        y, y_weight = _cells(start[:, 1], extent[:, 1], bins, along_y, height)
        # Axes: RoI, bin along y, bin along x, cell along y, cell along x.
        first = rois[position, 0].int()[:, None, None, None, None] * (height * width)
        cell = first + y[:, :, None, :, None] * width + x[:, None, :, None, :]
        rows.append((target[position, None] * bins**2 + of_bins).flatten())
        index.append(cell.flatten())
        weight.append((y_weight[:, :, None, :, None] * x_weight[:, None, :, None, :]).flatten())
        counts.append(cell.new_full((len(position) * bins**2,), cell[0, 0, 0].numel()))
    count = torch.cat(counts)
    starts = count.cumsum(0, dtype=count.dtype) - count
    return Terms(torch.cat(rows), starts, torch.cat(index), torch.cat(weight))


def _cells(
    start: Tensor, length: Tensor, bins: int, samples: int, cells: int
) -> tuple[Tensor, Tensor]:
    """Along one axis, the cells that each bin sums and their weights: (n, bins, samples + 1).

    A bin is the mean of ``samples`` equidistant points, at most a cell apart, each interpolated
    between the two cells around it. Points more than a cell outside are zero, as are bins without
    points.
    """
    if samples == 0:
        shape = (len(start), bins, 1)
        return start.new_zeros(shape, dtype=torch.int32), start.new_zeros(shape)
    number = torch.arange(bins * samples, device=start.device) + 0.5
    point = start[:, None] + number * (length / (bins * samples))[:, None]
    counts = (point >= -1) & (point <= cells)
    point = torch.where(counts, point, 0).clamp(0, cells - 1).view(-1, bins, samples)
    counts = counts.view_as(point)
    first = point[..., :1].floor()
    step = torch.arange(samples + 1, device=start.device)
    # (n, bins, samples, samples + 1): the weight of each cell in each point.
    share = (1 - (point[..., None] - first[..., None] - step).abs()).clamp(min=0)
    weight = (share * counts[..., None]).sum(2) / samples
    return (first + step).clamp(max=cells - 1).int(), weight
