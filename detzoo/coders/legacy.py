"""Boxes as MMDetection 1.x encoded them."""

from __future__ import annotations

import torch
from torch import Tensor

from detzoo.coders.base import BoxCoder
from detzoo.coders.delta import DeltaCoder
from detzoo.config import PositiveFloat, config


@config
class LegacyDeltaCoder(BoxCoder):
    """As ``DeltaCoder``, but sides are a pixel longer, from the first pixel to the last.

    Decoded boxes keep the longer side, as V2 decodes for models of 1.x: that detects better.

    Args:
        means: Means by which deltas are normalized.
        stds: Standard deviations by which deltas are normalized.
    """

    means: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    stds: tuple[PositiveFloat, PositiveFloat, PositiveFloat, PositiveFloat] = (1.0, 1.0, 1.0, 1.0)

    def encode(self, references: Tensor, boxes: Tensor) -> Tensor:
        return self._plain.encode(_longer(references), _longer(boxes))

    def decode(
        self, references: Tensor, deltas: Tensor, size: tuple[int, int] | None = None
    ) -> Tensor:
        # The last pixel is one before the border.
        inner = None if size is None else (size[0] - 1, size[1] - 1)
        return self._plain.decode(_longer(references), deltas, inner)

    @property
    def _plain(self) -> DeltaCoder:
        return DeltaCoder(means=self.means, stds=self.stds)


def _longer(boxes: Tensor) -> Tensor:
    """Boxes (..., 4) with the same centers, and sides a pixel longer."""
    return torch.cat([boxes[..., :2] - 0.5, boxes[..., 2:] + 0.5], -1)
