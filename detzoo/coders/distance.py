"""Boxes as the distances of their sides from a point (FCOS, https://arxiv.org/abs/1904.01355)."""

from __future__ import annotations

import torch
from torch import Tensor

from detzoo.coders.base import BoxCoder
from detzoo.config import config
from detzoo.ops.boxes import box_centers, clip_boxes, inner_distances


@config
class DistanceCoder(BoxCoder):
    """Encodes left, top, right and bottom as distances from the reference's center, in pixels."""

    def encode(self, references: Tensor, boxes: Tensor) -> Tensor:
        return inner_distances(box_centers(references), boxes)

    def decode(
        self, references: Tensor, deltas: Tensor, size: tuple[int, int] | None = None
    ) -> Tensor:
        center = box_centers(references)
        boxes = torch.cat([center - deltas[..., :2], center + deltas[..., 2:]], -1)
        return boxes if size is None else clip_boxes(boxes, size)
