"""RoIAlign over a feature pyramid."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import roi_align


def rois_of(boxes: Sequence[Tensor]) -> Tensor:
    """Boxes per image, each (N_i, 4), as RoIs (R, 5): image number, then the box."""
    numbers = [box.new_full((len(box), 1), float(i)) for i, box in enumerate(boxes)]
    return torch.cat([torch.cat(numbers), torch.cat(list(boxes))], 1)


def pyramid_level(rois: Tensor, num_levels: int, finest_scale: float) -> Tensor:
    """(R,) level of RoIs (R, 5): 0 up to twice ``finest_scale`` pixels, then one per octave."""
    scale = ((rois[:, 3] - rois[:, 1]) * (rois[:, 4] - rois[:, 2])).sqrt()
    level = (scale / finest_scale + 1e-6).log2().floor()
    return level.clamp(0, num_levels - 1).long()


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
    """Each RoI (R, 5) from the level of its size -> (R, C, output_size, output_size).

    ``sampling_ratio`` samples per bin and axis, 0 as many as the bin has cells. ``aligned`` shifts
    by half a cell, as is right; old models were trained without.
    """
    size = (output_size, output_size)
    if len(features) == 1:
        return roi_align(features[0], rois, size, 1 / strides[0], sampling_ratio, aligned)
    level = pyramid_level(rois, len(features), finest_scale)
    pooled, positions = [], []
    for index, (feature, stride) in enumerate(zip(features, strides)):
        position = (level == index).nonzero()[:, 0]
        positions.append(position)
        pooled.append(roi_align(feature, rois[position], size, 1 / stride, sampling_ratio, aligned))
    # Undo the sorting by level.
    return torch.cat(pooled)[torch.cat(positions).argsort()]
