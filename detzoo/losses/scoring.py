"""Conversion of class logits to scores."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Scoring(ABC):
    """Converts the logits of a sample to the probabilities of its classes."""

    @abstractmethod
    def num_outputs(self, num_classes: int) -> int:
        """The number of logits per sample."""

    @abstractmethod
    def scores(self, logits: Tensor) -> Tensor:
        """Probabilities of the classes: (..., K) -> (..., C)."""

    @abstractmethod
    def above(self, logits: Tensor, min_score: float) -> Tensor:
        """Whether scores exceed ``min_score``: (..., K) -> (..., C) bool."""


class SoftmaxScoring(Scoring):
    """One of C classes, or background, which is the last."""

    def num_outputs(self, num_classes: int) -> int:
        return num_classes + 1

    def scores(self, logits: Tensor) -> Tensor:
        return logits.softmax(-1)[..., :-1]

    def above(self, logits: Tensor, min_score: float) -> Tensor:
        return self.scores(logits) > min_score


class SigmoidScoring(Scoring):
    """C independent binary classifiers; background is negative for all."""

    def num_outputs(self, num_classes: int) -> int:
        return num_classes

    def scores(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()

    def above(self, logits: Tensor, min_score: float) -> Tensor:
        # Comparing logits avoids the sigmoid of the many scores that are dropped.
        if min_score <= 0:
            return torch.ones_like(logits, dtype=torch.bool)
        return logits > math.log(min_score / (1 - min_score))
