"""Fuses the masks of queries to a panoptic map (MaskFormer, https://arxiv.org/abs/2107.06278)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from detzoo.config import UnitFloat, config
from detzoo.structures import Detections, ImageInfo, PanopticMap, PanopticPrediction
from detzoo.structures.image_masks import AT_ONCE, original_window, resize_window
from detzoo.structures.images import Size


@config
class QueryFusion:
    """Each pixel belongs to the query whose score times mask probability is highest there.

    Args:
        min_score: Queries take part only if their score is higher.
        min_visible: A segment is dropped if its query gets a smaller part of the pixels of its
            mask than this.
        inside_only: Whether a query gets only pixels within its own mask; others are void.
    """

    min_score: UnitFloat = 0.8
    min_visible: UnitFloat = 0.8
    inside_only: bool = True


@dataclass(frozen=True)
class QuerySegments(PanopticPrediction):
    """Mask logits (Q, h, w) of queries over an input of ``size`` (height, width), their ``scores``
    (Q,), and ``labels`` (Q,), in which stuff comes after ``num_things``. Background has a negative
    score.
    """

    logits: Tensor
    scores: Tensor
    labels: Tensor
    size: Size
    num_things: int
    fusion: QueryFusion

    @classmethod
    def of(
        cls, fusion: QueryFusion, classes: Tensor, logits: Tensor, size: Size, num_things: int
    ) -> QuerySegments:
        """Queries with class probabilities (Q, C + 1), the last of background."""
        scores, labels = classes.max(1)
        scores = scores.masked_fill(labels == classes.shape[1] - 1, -1.0)
        return cls(logits, scores, labels, size, num_things, fusion)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return self.logits, self.scores, self.labels

    def _where(self, kept: Tensor) -> QuerySegments:
        """The queries ``kept`` (Q,) bool."""
        logits, scores, labels = (values[kept] for values in self.tensors)
        return replace(self, logits=logits, scores=scores, labels=labels)

    def to(self, device: torch.device | str) -> QuerySegments:
        logits, scores, labels = (values.to(device) for values in self.tensors)
        return replace(self, logits=logits, scores=scores, labels=labels)

    def to_original(self, info: ImageInfo, things: Detections) -> PanopticMap:
        """The map of the queries that take part; ``things``, which are found apart, do not
        matter."""
        return self._where(self.scores > self.fusion.min_score)._fused(info)

    def _fused(self, info: ImageInfo) -> PanopticMap:
        """The map of all queries."""
        device, count = self.logits.device, len(self.scores)
        winner = torch.full(info.original_size, count, device=device)
        if count == 0:
            return PanopticMap.void(winner)
        best = torch.full(info.original_size, -1.0, device=device)
        is_inside = torch.zeros(info.original_size, dtype=torch.bool, device=device)
        areas = []
        # A few masks at a time, as all would be large in original pixels.
        for start in range(0, count, AT_ONCE):
            part = self.logits[start : start + AT_ONCE]
            maps = resize_window(part, self.size, *original_window(info), info.original_size)
            probability = maps.sigmoid()
            areas.append((probability >= 0.5).sum((1, 2)))
            scores = self.scores[start : start + AT_ONCE, None, None]
            value, index = (scores * probability).max(0)
            own = probability.gather(0, index[None])[0]
            is_better = value > best
            winner = torch.where(is_better, start + index, winner)
            is_inside = torch.where(is_better, own >= 0.5, is_inside)
            best = torch.maximum(best, value)
        axes = {"none": (), "horizontal": (1,), "vertical": (0,), "diagonal": (0, 1)}[info.flip]
        return self._segments(winner.flip(axes), is_inside.flip(axes), torch.cat(areas))

    def _segments(self, winner: Tensor, is_inside: Tensor, areas: Tensor) -> PanopticMap:
        """``winner`` (H, W) is the query of each pixel, ``is_inside`` (H, W) whether the pixel is
        in its mask, ``areas`` (Q,) are those of whole masks.
        """
        count, device = len(areas), areas.device
        visible = torch.bincount(winner.flatten(), minlength=count)
        part = visible.double() / areas.clamp(min=1)
        is_kept = (areas > 0) & (visible > 0) & (part >= self.fusion.min_visible)
        # Queries of one class of stuff are one segment: that of the first of them.
        is_thing = self.labels < self.num_things
        is_same = (self.labels[:, None] == self.labels) & ~is_thing & is_kept
        own = torch.arange(count, device=device)
        owners = torch.where(is_thing, own, is_same.int().argmax(1)).masked_fill(~is_kept, -1)
        owner = owners[winner]
        if self.fusion.inside_only:
            owner = owner.masked_fill(~is_inside, -1)
        taken = torch.bincount(owner.flatten() + 1, minlength=count + 1)[1:] > 0
        whole = PanopticMap((owner + 1).to(torch.int32), self.labels, is_thing, self.scores)
        return whole.only(taken)
