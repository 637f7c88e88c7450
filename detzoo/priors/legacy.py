"""Anchors as MMDetection 1.x placed them: from the first pixel to the last, in whole pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from detzoo.config import UnitFloat, config
from detzoo.priors.anchors import AnchorGrid
from detzoo.priors.ssd import SSDAnchors


@config
class LegacyAnchorGrid(AnchorGrid):
    """Anchors of every scale and ratio at each cell, in whole pixels.

    Args:
        center: Where between the first and the last pixel of a cell anchors are centered, as a
            fraction.
    """

    center: UnitFloat = 0.5

    @property
    def cell_offset(self) -> float:
        return 0.0

    def base_anchors(self, stride: int) -> Tensor:
        return whole_pixels(super().base_anchors(stride), self.center * (stride - 1))


@config
class LegacySSDAnchors(SSDAnchors):
    """The default boxes of SSD, in whole pixels."""

    @property
    def cell_offset(self) -> float:
        return 0.0

    def base_anchors(self, level: int) -> Tensor:
        return whole_pixels(super().base_anchors(level), (self.strides[level] - 1) / 2)


def whole_pixels(boxes: Tensor, center: float) -> Tensor:
    """Boxes (A, 4) around the origin, moved to ``center`` in x and y, from first to last pixel."""
    inner = torch.tensor([0.5, 0.5, -0.5, -0.5])
    return (boxes + inner + center).round()
