"""What every code of boxes is."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from detzoo.config import config


@config
class BoxCoder(ABC):
    """Boxes as numbers relative to reference boxes."""

    @abstractmethod
    def encode(self, references: Tensor, boxes: Tensor) -> Tensor:
        """The code (..., D) of boxes (..., 4) relative to references (..., 4)."""

    @abstractmethod
    def decode(
        self, references: Tensor, deltas: Tensor, size: tuple[int, int] | None = None
    ) -> Tensor:
        """Boxes (..., 4) from references (..., 4) and their code (..., D), cut at an image of that
        ``size`` (height, width)."""
