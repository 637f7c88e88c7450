"""Base class of box coders."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from detzoo.config import config


@config
class BoxCoder(ABC):
    """Encodes boxes as deltas relative to reference boxes: priors or proposals."""

    @abstractmethod
    def encode(self, references: Tensor, boxes: Tensor) -> Tensor:
        """Encodes boxes (..., 4) as deltas (..., D) relative to references (..., 4)."""

    @abstractmethod
    def decode(
        self, references: Tensor, deltas: Tensor, size: tuple[int, int] | None = None
    ) -> Tensor:
        """Decodes boxes (..., 4) from references (..., 4) and deltas (..., D), clipped to an image
        of ``size`` (height, width) if given.
        """
