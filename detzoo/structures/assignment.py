"""Assignments of targets to priors or proposals."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

BACKGROUND = -1
IGNORED = -2


@dataclass(frozen=True)
class Assignment:
    """``target_index`` (P,) int64, BACKGROUND or IGNORED, and the best ``iou`` (P,) of priors."""

    target_index: Tensor
    iou: Tensor

    def __len__(self) -> int:
        return len(self.target_index)

    @property
    def is_positive(self) -> Tensor:
        return self.target_index >= 0

    @property
    def is_background(self) -> Tensor:
        return self.target_index == BACKGROUND

    def ignoring(self, mask: Tensor) -> Assignment:
        """Returns the assignment with the priors in ``mask`` (P,) ignored."""
        return Assignment(self.target_index.masked_fill(mask, IGNORED), self.iou)
