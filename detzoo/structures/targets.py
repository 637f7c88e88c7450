"""Ground truth of one image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from detzoo.structures.masks import TargetMasks


@dataclass(frozen=True)
class Targets:
    """N objects: ``boxes`` (N, 4) xyxy float32 in input pixels, ``labels`` (N,) int64.

    ``ignored_boxes`` (M, 4) mark regions (crowds, difficult objects) whose detections count
    neither as right nor as wrong. ``masks`` has N entries where the data has masks.
    """

    boxes: Tensor
    labels: Tensor
    ignored_boxes: Tensor
    masks: TargetMasks | None = None

    @classmethod
    def of(cls, boxes: Tensor, labels: Tensor, masks: TargetMasks | None = None) -> Targets:
        """Targets without ignored regions."""
        return cls(boxes, labels, boxes.new_zeros((0, 4)), masks)

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: Tensor | slice) -> Targets:
        masks = None if self.masks is None else self.masks[index]
        return Targets(self.boxes[index], self.labels[index], self.ignored_boxes, masks)

    def to(self, device: torch.device | str) -> Targets:
        return Targets(
            self.boxes.to(device, non_blocking=True),
            self.labels.to(device, non_blocking=True),
            self.ignored_boxes.to(device, non_blocking=True),
            None if self.masks is None else self.masks.to(device),
        )
