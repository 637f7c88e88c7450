"""Fuses instances and a semantic map to a panoptic map (https://arxiv.org/abs/1801.00868)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from detzoo.config import NonNegativeInt, UnitFloat, config
from detzoo.structures import (
    BitmapMasks,
    Detections,
    ImageInfo,
    PanopticMap,
    PanopticPrediction,
)
from detzoo.structures.image_masks import AT_ONCE, original_window, resize_window
from detzoo.structures.images import Size


@config
class HeuristicFusion:
    """Things in descending order of score, each on what those before it have left; then stuff on
    what is left of the image.

    Args:
        max_overlap: A thing is dropped if a larger part of it is already taken.
        min_stuff_area: Stuff on fewer pixels of the image is dropped.
    """

    max_overlap: UnitFloat = 0.5
    min_stuff_area: NonNegativeInt = 4096

    def __call__(
        self, things: Detections, stuff: Tensor, certainty: Tensor, num_things: int
    ) -> PanopticMap:
        """``things`` with masks (N, H, W); ``stuff`` (H, W) is each pixel's class of stuff, or
        negative where there is a thing, and ``certainty`` (H, W) its probability.

        The score of stuff is the mean probability of its pixels.
        """
        assert isinstance(things.masks, BitmapMasks), "things are fused in original pixels"
        ids = torch.zeros_like(stuff, dtype=torch.int32)
        kept = []
        for k, mask in enumerate(things.masks.bitmaps.bool()):
            free = mask & (ids == 0)
            area, left = int(mask.sum()), int(free.sum())
            if left > 0 and area - left <= self.max_overlap * area:
                kept.append(k)
                ids[free] = len(kept)
        remaining = stuff.masked_fill(ids > 0, -1) + 1  # 0: no stuff
        areas = torch.bincount(remaining.flatten())[1:]
        sums = torch.bincount(remaining.flatten(), certainty.flatten().double())[1:]
        classes = (areas >= max(self.min_stuff_area, 1)).nonzero()[:, 0]
        id_of = ids.new_zeros(len(areas) + 1)
        id_of[classes + 1] = len(kept) + 1 + torch.arange(len(classes), device=ids.device).int()
        labels, scores = things.labels[kept], things.scores[kept]
        return PanopticMap(
            ids + id_of[remaining],
            torch.cat([labels, num_things + classes]),
            torch.arange(len(kept) + len(classes), device=ids.device) < len(kept),
            torch.cat([scores.float(), (sums / areas)[classes].float()]),
        )


@dataclass(frozen=True)
class StuffLogits(PanopticPrediction):
    """Logits (S + 1, h, w) of the classes of stuff, and of things in the last channel, over an
    input of ``size`` (height, width)."""

    logits: Tensor
    size: Size
    num_things: int
    fusion: HeuristicFusion

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (self.logits,)

    def to(self, device: torch.device | str) -> StuffLogits:
        return replace(self, logits=self.logits.to(device))

    def to_original(self, info: ImageInfo, things: Detections) -> PanopticMap:
        return fuse_views([(self, info)], things)


def fuse_views(views: Sequence[tuple[StuffLogits, ImageInfo]], things: Detections) -> PanopticMap:
    """The panoptic map of an image from its augmentations, whose logits are averaged."""
    first, info = views[0]
    num_classes = len(first.logits)
    best = first.logits.new_full(info.original_size, -torch.inf, dtype=torch.float32)
    total = best.clone()  # log of the sum of exponentials
    label = torch.zeros_like(best, dtype=torch.int64)
    # A few classes at a time, as all would be large in original pixels.
    for start in range(0, num_classes, AT_ONCE):
        maps = [view.logits[start : start + AT_ONCE].float() for view, _ in views]
        mean = torch.stack(
            [_to_original(part, view.size, info) for part, (view, info) in zip(maps, views)]
        ).mean(0)
        value, index = mean.max(0)
        label = torch.where(value > best, index + start, label)
        best = torch.maximum(best, value)
        total = torch.logaddexp(total, mean.logsumexp(0))
    stuff = label.masked_fill(label == num_classes - 1, -1)
    return first.fusion(things, stuff, (best - total).exp(), first.num_things)


def _to_original(maps: Tensor, size: Size, info: ImageInfo) -> Tensor:
    """Maps (N, h, w) over an input of ``size`` -> (N, H, W) in original pixels."""
    resized = resize_window(maps, size, *original_window(info), info.original_size)
    axes = {"none": (), "horizontal": (2,), "vertical": (1,), "diagonal": (1, 2)}[info.flip]
    return resized.flip(axes)
