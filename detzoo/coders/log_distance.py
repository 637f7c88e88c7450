"""Boxes as log distances of their sides from a point (FoveaBox, https://arxiv.org/abs/1904.03797)."""

from __future__ import annotations

import torch
from torch import Tensor

from detzoo.coders.base import BoxCoder
from detzoo.config import config
from detzoo.ops.boxes import box_centers, clip_boxes, inner_distances

# Encoded ratios are clamped to this value and its inverse.
MAX_RATIO = 16.0


@config
class LogDistanceCoder(BoxCoder):
    """Encodes the log distances of left, top, right and bottom from the reference's center,
    relative to its width or height.

    Decoded boxes are clipped one pixel inside the right and bottom border, as published models do.
    """

    def encode(self, references: Tensor, boxes: Tensor) -> Tensor:
        distances = inner_distances(box_centers(references), boxes) / _units(references)
        return distances.clamp(1 / MAX_RATIO, MAX_RATIO).log()

    def decode(
        self, references: Tensor, deltas: Tensor, size: tuple[int, int] | None = None
    ) -> Tensor:
        distances = deltas.exp() * _units(references)
        center = box_centers(references)
        boxes = torch.cat([center - distances[..., :2], center + distances[..., 2:]], -1)
        return boxes if size is None else clip_boxes(boxes, (size[0] - 1, size[1] - 1))


def _units(references: Tensor) -> Tensor:
    size = references[..., 2:] - references[..., :2]
    return torch.cat([size, size], -1)
