"""Candidates and detections in one image, before and after the final selection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from detzoo.structures.image_masks import ImageMasks
from detzoo.structures.images import ImageInfo
from detzoo.structures.masks import BitmapMasks, Masks, RoIMasks
from detzoo.structures.panoptic import PanopticMap, PanopticPrediction

if TYPE_CHECKING:
    import supervision


@dataclass(frozen=True)
class Candidates:
    """K boxes of one image before non-maximum suppression, in input pixels.

    ``boxes`` (K, 4) xyxy, ``scores`` (K,), ``labels`` (K,). Boxes suppress each other within one
    ``group`` (K,): the class in most detectors, the pyramid level in an RPN.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    group: Tensor

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: Tensor | slice) -> Candidates:
        return Candidates(
            self.boxes[index], self.scores[index], self.labels[index], self.group[index]
        )

    def to_original(self, info: ImageInfo) -> Candidates:
        """The candidates in original pixels."""
        return replace(self, boxes=info.to_original(self.boxes))

    @classmethod
    def join(cls, parts: Sequence[Candidates]) -> Candidates:
        """Joins the candidates of several augmentations of one image, all in original pixels."""
        return cls(
            torch.cat([part.boxes for part in parts]),
            torch.cat([part.scores for part in parts]),
            torch.cat([part.labels for part in parts]),
            torch.cat([part.group for part in parts]),
        )


@dataclass(frozen=True)
class Detections:
    """N objects (or proposals): ``boxes`` (N, 4) xyxy, ``scores`` (N,), ``labels`` (N,) int64.

    Coordinates are in input pixels as returned by a detector, in original pixels after
    :meth:`to_original`. Sorted by score in descending order. ``masks`` if the model predicts them,
    and ``mask_scores`` (N,) if it scores them separately (Mask Scoring R-CNN); otherwise ``scores``
    apply to the masks as well. ``panoptic`` if the model segments the whole image: a
    :class:`PanopticMap` in original pixels. It belongs to the image, not to one of the objects.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    masks: Masks | None = None
    mask_scores: Tensor | None = None
    panoptic: PanopticPrediction | PanopticMap | None = None

    @classmethod
    def empty(cls, device: torch.device | str = "cpu") -> Detections:
        zeros = torch.zeros((0,), device=device)
        return cls(zeros.reshape(0, 4), zeros, zeros.long())

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: Tensor | slice) -> Detections:
        return Detections(
            self.boxes[index],
            self.scores[index],
            self.labels[index],
            None if self.masks is None else self.masks[index],
            None if self.mask_scores is None else self.mask_scores[index],
            self.panoptic,
        )

    def to(self, device: torch.device | str) -> Detections:
        return Detections(
            self.boxes.to(device),
            self.scores.to(device),
            self.labels.to(device),
            None if self.masks is None else self.masks.to(device),
            None if self.mask_scores is None else self.mask_scores.to(device),
            None if self.panoptic is None else self.panoptic.to(device),
        )

    def to_original(self, info: ImageInfo) -> Detections:
        """The detections in original pixels: unflipped, unscaled, clipped, with masks pasted and
        the panoptic map fused."""
        boxes = info.to_original(self.boxes)
        masks = self.masks
        if isinstance(masks, RoIMasks):
            masks = masks.flipped(info.flip).paste(boxes, info.original_size)
        elif isinstance(masks, ImageMasks):
            drawn = masks.to_original(info)
            boxes = drawn.boxes() if masks.bounds else boxes
            masks = drawn
        found = replace(self, boxes=boxes, masks=masks)
        if isinstance(self.panoptic, PanopticPrediction):
            return replace(found, panoptic=self.panoptic.to_original(info, found))
        return found

    def to_input(self, info: ImageInfo) -> Detections:
        """Proposals in original pixels -> in input pixels."""
        return replace(self, boxes=info.to_input(self.boxes))

    def to_supervision(self, class_names: Sequence[str] | None = None) -> supervision.Detections:
        """Converts to ``supervision.Detections``; ``class_names`` go to ``data["class_name"]``."""
        import supervision

        labels = self.labels.cpu().numpy()
        data = {}
        if class_names is not None:
            data["class_name"] = np.array([class_names[label] for label in labels], dtype=str)
        mask = None
        if isinstance(self.masks, BitmapMasks):
            mask = self.masks.bitmaps.cpu().numpy().astype(bool)
        return supervision.Detections(
            xyxy=self.boxes.cpu().numpy().astype(np.float32),
            confidence=self.scores.cpu().numpy(),
            class_id=labels,
            mask=mask,
            data=data,
        )

    @classmethod
    def from_supervision(cls, other: supervision.Detections) -> Detections:
        """Converts from ``supervision.Detections``; a missing confidence becomes 1, a class 0."""
        count = len(other)
        scores = np.ones(count) if other.confidence is None else other.confidence
        labels = np.zeros(count) if other.class_id is None else other.class_id
        masks = None
        if other.mask is not None:
            masks = BitmapMasks(torch.as_tensor(np.asarray(other.mask), dtype=torch.uint8))
        return cls(
            torch.as_tensor(other.xyxy, dtype=torch.float32).reshape(-1, 4),
            torch.as_tensor(scores, dtype=torch.float32),
            torch.as_tensor(labels, dtype=torch.int64),
            masks,
        )
