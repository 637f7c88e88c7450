"""Boxes as offsets from reference boxes (R-CNN, https://arxiv.org/abs/1311.2524)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from detzoo.coders.base import BoxCoder
from detzoo.config import ConfigError, config
from detzoo.ops.boxes import clip_boxes
from detzoo.ops.constants import constant


@config
class DeltaCoder(BoxCoder):
    """Centre offsets in units of the reference's size, and logarithms of the size ratios.

    Deltas (dx, dy, dw, dh) are normalised to ``(delta - mean) / std``. A decoded side is at most
    ``max_ratio`` times the reference's, and at least the inverse. With ``max_shift`` a decoded
    centre lies at most so many pixels from the reference's, in x and in y.
    """

    means: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    stds: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    max_ratio: float = 1000 / 16
    max_shift: float | None = None

    def __post_init__(self) -> None:
        if self.max_ratio < 1:
            raise ConfigError(f"max_ratio: {self.max_ratio} is not at least 1")

    def encode(self, references: Tensor, boxes: Tensor) -> Tensor:
        size = references[..., 2:] - references[..., :2]
        target_size = boxes[..., 2:] - boxes[..., :2]
        centre = (references[..., :2] + references[..., 2:]) / 2
        target_centre = (boxes[..., :2] + boxes[..., 2:]) / 2
        shift = (target_centre - centre) / size
        deltas = torch.cat([shift, (target_size / size).log()], -1)
        means, stds = self._normalization(deltas)
        return (deltas - means) / stds

    def decode(
        self, references: Tensor, deltas: Tensor, size: tuple[int, int] | None = None
    ) -> Tensor:
        means, stds = self._normalization(deltas)
        deltas = deltas * stds + means
        reference_size = references[..., 2:] - references[..., :2]
        centre = (references[..., :2] + references[..., 2:]) / 2
        limit = math.log(self.max_ratio)
        shift = reference_size * deltas[..., :2]
        if self.max_shift is None:
            log_ratio = deltas[..., 2:].clamp(-limit, limit)
        else:
            # Published models that limit the shift do not limit how small a box can be.
            log_ratio = deltas[..., 2:].clamp(max=limit)
            shift = shift.clamp(-self.max_shift, self.max_shift)
        centre = centre + shift
        half = reference_size * log_ratio.exp() / 2
        boxes = torch.cat([centre - half, centre + half], -1)
        return boxes if size is None else clip_boxes(boxes, size)

    def _normalization(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Means and standard deviations (4,)."""
        return (
            constant(self.means, like.device, like.dtype),
            constant(self.stds, like.device, like.dtype),
        )
