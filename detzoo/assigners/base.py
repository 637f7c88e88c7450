"""What every assigner of priors or proposals to targets is."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from detzoo.config import config
from detzoo.structures import Assignment, Targets


@config
class Assigner(ABC):
    """Decides which target each box is trained on."""

    @abstractmethod
    def assign(self, boxes: Tensor, targets: Targets) -> Assignment:
        """Targets of boxes (P, 4) xyxy, in the same pixels as ``targets``."""
