"""Boxes side by side, each in one of several buckets (SABL, https://arxiv.org/abs/1912.04260)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from detzoo.coders.base import BoxCoder
from detzoo.config import ConfigError, config
from detzoo.ops.boxes import clip_boxes

# The nearest buckets of a side learn how far it is from them.
NUM_NEAREST = 2


@config
class BucketCoder(BoxCoder):
    """For each side (left, right, top, bottom): which bucket it is in, and how far from its centre.

    The reference box, ``scale`` times as large, is divided into ``num_buckets`` along each axis;
    S = half of them, from the outside in, are for either side. A code is the logits of all buckets,
    4 * S, and then their offsets, 4 * S, in units of a bucket's width.
    """

    num_buckets: int = 14
    scale: float = 1.7

    def __post_init__(self) -> None:
        if self.num_buckets < 2 * NUM_NEAREST:
            raise ConfigError(f"num_buckets: {self.num_buckets} is not at least {2 * NUM_NEAREST}")
        if self.scale <= 0:
            raise ConfigError(f"scale: {self.scale} is not above 0")

    @property
    def num_per_side(self) -> int:
        return math.ceil(self.num_buckets / 2)

    @property
    def code_size(self) -> int:
        return 2 * 4 * self.num_per_side

    def encode(self, references: Tensor, boxes: Tensor) -> Tensor:
        """1 for the bucket nearest to each side, 0 for the others; then all offsets."""
        offsets = self._offsets(references, boxes)
        nearest = offsets.abs().argmin(-1, keepdim=True)
        labels = torch.zeros_like(offsets).scatter(-1, nearest, 1.0)
        return torch.cat([labels.flatten(-2), offsets.flatten(-2)], -1)

    def weights(self, references: Tensor, boxes: Tensor) -> Tensor:
        """What counts of the code (..., D): 1 or 0.

        A bucket that a side is near to, but not nearest, is neither right nor wrong. Offsets count
        in the nearest two buckets, in the second only up to the width of one.
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
        """The likeliest buckets' centres, corrected by their offsets, cut at the last pixels."""
        logits, offsets = self.split(deltas)
        likeliest = logits.argmax(-1, keepdim=True)
        start, step = self._sides(references)
        side = start + (0.5 + likeliest[..., 0]) * step
        side = side - offsets.gather(-1, likeliest)[..., 0] * step.abs()
        boxes = side[..., [0, 2, 1, 3]]
        return boxes if size is None else clip_boxes(boxes, (size[0] - 1, size[1] - 1))

    def confidence(self, deltas: Tensor) -> Tensor:
        """Codes (..., D) -> how sure the buckets are, (...): the best, with a neighbour if second.

        Detections are rescored by it.
        """
        probabilities, index = self.split(deltas)[0].softmax(-1).topk(2, -1)
        is_neighbour = (index[..., 0] - index[..., 1]).abs() == 1
        return (probabilities[..., 0] + probabilities[..., 1] * is_neighbour).mean(-1)

    def split(self, deltas: Tensor) -> tuple[Tensor, Tensor]:
        """Codes (..., D) -> logits (..., 4, S) and offsets (..., 4, S)."""
        logits, offsets = deltas.chunk(2, -1)
        shape = (4, self.num_per_side)
        return logits.unflatten(-1, shape), offsets.unflatten(-1, shape)

    def _offsets(self, references: Tensor, boxes: Tensor) -> Tensor:
        """From the sides of boxes (..., 4) to each bucket's centre, (..., 4, S) in buckets."""
        start, step = (part[..., None] for part in self._sides(references))
        number = torch.arange(self.num_per_side, device=boxes.device)
        return (start + (0.5 + number) * step - boxes[..., [0, 2, 1, 3], None]) / step.abs()

    def _sides(self, references: Tensor) -> tuple[Tensor, Tensor]:
        """Where the buckets of left, right, top and bottom begin (..., 4), and their width inward,
        negative for right and bottom."""
        centre = (references[..., :2] + references[..., 2:]) / 2
        size = (references[..., 2:] - references[..., :2]) * self.scale
        low, high, width = centre - size / 2, centre + size / 2, size / self.num_buckets
        start = torch.stack([low, high], -1).flatten(-2)
        return start, torch.stack([width, -width], -1).flatten(-2)
