"""Boxes as center offsets and log sizes (R-CNN, https://arxiv.org/abs/1311.2524)."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor

from detzoo.coders.base import BoxCoder
from detzoo.config import NonNegativeFloat, PositiveFloat, Range, config
from detzoo.ops.boxes import clip_boxes
from detzoo.ops.constants import constant


@config
class DeltaCoder(BoxCoder):
    """Encodes the offset of the center, relative to the reference's size, and the log size ratios.

    Deltas are dx, dy, dw, dh, normalized to ``(delta - mean) / std``.

    Args:
        means: Means by which deltas are normalized.
        stds: Standard deviations by which deltas are normalized.
        max_ratio: Maximum ratio of a decoded side to the reference's; its inverse is the minimum.
        max_shift: Maximum shift of a decoded center in x and in y, in pixels; None: no limit.
    """

    means: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    stds: tuple[PositiveFloat, PositiveFloat, PositiveFloat, PositiveFloat] = (1.0, 1.0, 1.0, 1.0)
    max_ratio: Annotated[float, Range(1)] = 1000 / 16
    max_shift: NonNegativeFloat | None = None

    def encode(self, references: Tensor, boxes: Tensor) -> Tensor:
        size = references[..., 2:] - references[..., :2]
        target_size = boxes[..., 2:] - boxes[..., :2]
        center = (references[..., :2] + references[..., 2:]) / 2
        target_center = (boxes[..., :2] + boxes[..., 2:]) / 2
        shift = (target_center - center) / size
        deltas = torch.cat([shift, (target_size / size).log()], -1)
        means, stds = self._normalization(deltas)
        return (deltas - means) / stds

    def decode(
        self, references: Tensor, deltas: Tensor, size: tuple[int, int] | None = None
    ) -> Tensor:
        means, stds = self._normalization(deltas)
        deltas = deltas * stds + means
        reference_size = references[..., 2:] - references[..., :2]
        center = (references[..., :2] + references[..., 2:]) / 2
        limit = math.log(self.max_ratio)
        shift = reference_size * deltas[..., :2]
        if self.max_shift is None:
            log_ratio = deltas[..., 2:].clamp(-limit, limit)
        else:
            # Published models with a limited shift do not limit the minimum ratio.
            log_ratio = deltas[..., 2:].clamp(max=limit)
            shift = shift.clamp(-self.max_shift, self.max_shift)
        center = center + shift
        half = reference_size * log_ratio.exp() / 2
        boxes = torch.cat([center - half, center + half], -1)
        return boxes if size is None else clip_boxes(boxes, size)

    def _normalization(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Means and standard deviations (4,)."""
        return (
            constant(self.means, like.device, like.dtype),
            constant(self.stds, like.device, like.dtype),
        )
