"""Boxes as buckets that contain their sides (side-aware boundary localization, SABL, https://arxiv.org/abs/1912.04260)."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor

from detzoo.coders.base import BoxCoder
from detzoo.config import PositiveFloat, Range, config
from detzoo.ops.boxes import clip_boxes

# Number of buckets near a side that are trained to regress its offset.
NUM_NEAREST = 2


@config
class BucketCoder(BoxCoder):
    """Encodes each side (left, right, top, bottom) as a bucket and the offset from its center.

    The scaled reference box is divided into buckets along each axis; S, half of them, counted
    inward, belong to either side. Deltas are the logits of all buckets, 4 * S, followed by their
    offsets, 4 * S, in widths of a bucket.

    Args:
        num_buckets: Number of buckets along each axis.
        scale: Side of the area divided into buckets, relative to the reference box.
    """

    num_buckets: Annotated[int, Range(2 * NUM_NEAREST, 65536)] = 14
    scale: PositiveFloat = 1.7

    @property
    def num_per_side(self) -> int:
        return math.ceil(self.num_buckets / 2)

    @property
    def code_size(self) -> int:
        return 2 * 4 * self.num_per_side

    def encode(self, references: Tensor, boxes: Tensor) -> Tensor:
        """Encodes boxes with 1 for the bucket nearest to each side and 0 for the others."""
        offsets = self._offsets(references, boxes)
        nearest = offsets.abs().argmin(-1, keepdim=True)
        labels = torch.zeros_like(offsets).scatter(-1, nearest, 1.0)
        return torch.cat([labels.flatten(-2), offsets.flatten(-2)], -1)

    def weights(self, references: Tensor, boxes: Tensor) -> Tensor:
        """The loss weight of each delta (..., D): 1 or 0.

        A bucket that is near a side, but not the nearest, is neither positive nor negative. Offsets
        are trained in the two nearest buckets, in the second only up to the width of a bucket.
        """
        distances = self._offsets(references, boxes).abs()
        nearest, index = distances.topk(NUM_NEAREST, -1, largest=False)
        is_nearest = torch.zeros_like(distances, dtype=torch.bool).scatter(-1, index[..., :1], True)
        label_weights = is_nearest | (distances >= 1)
        near_enough = nearest < 1
        near_enough[..., 0] = True
        offset_weights = torch.zeros_like(is_nearest).scatter(-1, index, near_enough)
        weights = torch.cat([label_weights.flatten(-2), offset_weights.flatten(-2)], -1)
        return weights.to(distances)

    def decode(
        self, references: Tensor, deltas: Tensor, size: tuple[int, int] | None = None
    ) -> Tensor:
        """Decodes sides as centers of the most likely buckets plus their offsets, clipped to the
        last pixels.
        """
        logits, offsets = self.split(deltas)
        likeliest = logits.argmax(-1, keepdim=True)
        start, step = self._sides(references)
        side = start + (0.5 + likeliest[..., 0]) * step
        side = side - offsets.gather(-1, likeliest)[..., 0] * step.abs()
        boxes = _swapped(side)
        return boxes if size is None else clip_boxes(boxes, (size[0] - 1, size[1] - 1))

    def confidence(self, deltas: Tensor) -> Tensor:
        """The confidence (...) of the buckets of deltas (..., D), which rescores detections.

        The highest probability, plus the second highest if its bucket is next to the first.
        """
        probabilities, index = self.split(deltas)[0].softmax(-1).topk(2, -1)
        is_neighbor = (index[..., 0] - index[..., 1]).abs() == 1
        return (probabilities[..., 0] + probabilities[..., 1] * is_neighbor).mean(-1)

    def split(self, deltas: Tensor) -> tuple[Tensor, Tensor]:
        """Splits deltas (..., D) into logits (..., 4, S) and offsets (..., 4, S)."""
        logits, offsets = deltas.chunk(2, -1)
        shape = (4, self.num_per_side)
        return logits.unflatten(-1, shape), offsets.unflatten(-1, shape)

    def _offsets(self, references: Tensor, boxes: Tensor) -> Tensor:
        """Offsets from the sides of boxes (..., 4) to all bucket centers: (..., 4, S)."""
        start, step = (part[..., None] for part in self._sides(references))
        number = torch.arange(self.num_per_side, device=boxes.device)
        return (start + (0.5 + number) * step - _swapped(boxes)[..., None]) / step.abs()

    def _sides(self, references: Tensor) -> tuple[Tensor, Tensor]:
        """The start of the buckets of left, right, top and bottom (..., 4), and their width inward,
        which is negative for right and bottom."""
        center = (references[..., :2] + references[..., 2:]) / 2
        size = (references[..., 2:] - references[..., :2]) * self.scale
        low, high, width = center - size / 2, center + size / 2, size / self.num_buckets
        start = torch.stack([low, high], -1).flatten(-2)
        return start, torch.stack([width, -width], -1).flatten(-2)


def _swapped(sides: Tensor) -> Tensor:
    """The two sides in the middle of four (..., 4) swapped."""
    return sides.unflatten(-1, (2, 2)).transpose(-1, -2).flatten(-2)
