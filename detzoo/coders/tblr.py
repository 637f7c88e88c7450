"""Boxes as distances of their sides from an anchor's center (FSAF, https://arxiv.org/abs/1903.00621)."""

from __future__ import annotations

import torch
from torch import Tensor

from detzoo.coders.base import BoxCoder
from detzoo.config import PositiveFloat, config
from detzoo.ops.boxes import box_centers, clip_boxes, inner_distances


@config
class TBLRCoder(BoxCoder):
    """Encodes the distances of top, bottom, left and right from the reference's center.

    Args:
        scale: Unit of the distances, in heights or widths of the reference.
    """

    scale: PositiveFloat = 4.0

    def encode(self, references: Tensor, boxes: Tensor) -> Tensor:
        distances = inner_distances(box_centers(references), boxes)
        left, top, right, bottom = (distances / self._units(references)).unbind(-1)
        return torch.stack([top, bottom, left, right], -1)

    def decode(
        self, references: Tensor, deltas: Tensor, size: tuple[int, int] | None = None
    ) -> Tensor:
        top, bottom, left, right = deltas.unbind(-1)
        distances = torch.stack([left, top, right, bottom], -1) * self._units(references)
        center = box_centers(references)
        boxes = torch.cat([center - distances[..., :2], center + distances[..., 2:]], -1)
        return boxes if size is None else clip_boxes(boxes, size)

    def _units(self, references: Tensor) -> Tensor:
        """The units of left, top, right and bottom in pixels: (..., 4)."""
        size = references[..., 2:] - references[..., :2]
        return self.scale * torch.cat([size, size], -1)
