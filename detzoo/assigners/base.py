"""What every assigner of priors or proposals to targets is."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from detzoo.config import config
from detzoo.structures import BACKGROUND, Assignment, Priors, Targets


@config
class PriorAssigner(ABC):
    """Decides which target each prior of a dense head is trained on."""

    @abstractmethod
    def assign_priors(self, priors: Priors, targets: Targets, allowed: Tensor) -> Assignment:
        """Targets of the priors, in the same pixels; those not ``allowed`` (P,) are ignored."""


@config
class Assigner(PriorAssigner):
    """Decides which target each box is trained on: priors, but proposals as well."""

    @abstractmethod
    def assign(self, boxes: Tensor, targets: Targets) -> Assignment:
        """Targets of boxes (P, 4) xyxy, in the same pixels as ``targets``."""

    def assign_priors(self, priors: Priors, targets: Targets, allowed: Tensor) -> Assignment:
        # Priors left out must not be the best match of a target either: move them off the image.
        boxes = torch.where(allowed[:, None], priors.boxes, -1.0)
        return self.assign(boxes, targets).ignoring(~allowed)


def nothing_to_find(allowed: Tensor) -> Assignment:
    """All background, but for what is not ``allowed`` (P,)."""
    index = torch.full(allowed.shape, BACKGROUND, device=allowed.device)
    return Assignment(index, torch.zeros(allowed.shape, device=allowed.device)).ignoring(~allowed)
