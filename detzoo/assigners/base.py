"""Base classes of assigners, which determine the targets of priors and proposals."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from detzoo.config import config
from detzoo.structures import BACKGROUND, Assignment, Priors, Targets


@config
class PriorAssigner(ABC):
    """Assigns targets to the priors of a dense head."""

    @abstractmethod
    def assign_priors(self, priors: Priors, targets: Targets, allowed: Tensor) -> Assignment:
        """Assigns a target or background to each prior, or ignores it.

        Priors that are not ``allowed`` (P,) are ignored. All boxes are in input pixels.
        """


@config
class Assigner(PriorAssigner):
    """Assigns targets to boxes of any kind: priors or proposals."""

    @abstractmethod
    def assign(self, boxes: Tensor, targets: Targets) -> Assignment:
        """Assigns targets to boxes (P, 4) xyxy, in the pixels of ``targets``."""

    def assign_priors(self, priors: Priors, targets: Targets, allowed: Tensor) -> Assignment:
        # Priors that are not allowed must not be the best match of a target, either: move them
        # outside the image.
        boxes = torch.where(allowed[:, None], priors.boxes, -1.0)
        return self.assign(boxes, targets).ignoring(~allowed)


def nothing_to_find(allowed: Tensor) -> Assignment:
    """The assignment without targets: all background, or ignored if not ``allowed`` (P,)."""
    index = torch.full(allowed.shape, BACKGROUND, device=allowed.device)
    return Assignment(index, torch.zeros(allowed.shape, device=allowed.device)).ignoring(~allowed)
