"""The ground truth of one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from detzoo.structures.masks import TargetMasks

# The value of pixels without a class in a semantic map.
UNLABELED = 255


@dataclass(frozen=True)
class Targets:
    """N objects: ``boxes`` (N, 4) xyxy float32 in input pixels, ``labels`` (N,) int64.

    ``ignored_boxes`` (M, 4) are regions (crowds, difficult objects) in which detections are neither
    true nor false positives. ``masks`` has N entries if the data has masks, and marks missing ones.
    ``semantic_map`` (H, W) uint8 contains the class of every pixel or ``UNLABELED``, for heads with
    semantic segmentation (HTC).
    """

    boxes: Tensor
    labels: Tensor
    ignored_boxes: Tensor
    masks: TargetMasks | None = None
    semantic_map: Tensor | None = None

    @classmethod
    def of(cls, boxes: Tensor, labels: Tensor, masks: TargetMasks | None = None) -> Targets:
        """Creates targets without ignored regions."""
        return cls(boxes, labels, boxes.new_zeros((0, 4)), masks)

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: Tensor | slice) -> Targets:
        masks = None if self.masks is None else self.masks[index]
        return Targets(
            self.boxes[index], self.labels[index], self.ignored_boxes, masks, self.semantic_map
        )

    @property
    def num_masks(self) -> int:
        """The number of objects with a mask."""
        missing = None if self.masks is None else self.masks.is_missing
        return len(self) if missing is None else len(self) - int(missing.sum())

    def index_of_masks(self, target_index: Tensor) -> Tensor:
        """Returns ``target_index`` (K,) with -1 for objects without a mask."""
        missing = None if self.masks is None else self.masks.is_missing
        if missing is None or len(missing) == 0:
            return target_index
        has_none = missing.to(target_index.device)[target_index.clamp(min=0)]
        return target_index.masked_fill(has_none, -1)

    def class_agnostic(self) -> Targets:
        """Returns the same targets with class 0."""
        return replace(self, labels=torch.zeros_like(self.labels))

    def to(self, device: torch.device | str) -> Targets:
        return Targets(
            self.boxes.to(device, non_blocking=True),
            self.labels.to(device, non_blocking=True),
            self.ignored_boxes.to(device, non_blocking=True),
            None if self.masks is None else self.masks.to(device),
            None if self.semantic_map is None else self.semantic_map.to(device, non_blocking=True),
        )


def stack_semantic_maps(targets: Sequence[Targets]) -> Tensor:
    """Stacks the semantic maps of a batch to (B, H, W) uint8, with unlabeled padding."""
    maps = [target.semantic_map for target in targets]
    known = [one for one in maps if one is not None]
    assert len(known) == len(maps), "a semantic head is trained on targets with semantic maps"
    height, width = (max(one.shape[axis] for one in known) for axis in (0, 1))
    stacked = known[0].new_full((len(known), height, width), UNLABELED)
    for row, one in zip(stacked, known):
        row[: one.shape[0], : one.shape[1]] = one
    return stacked
