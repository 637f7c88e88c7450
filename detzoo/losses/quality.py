"""Classification losses with the quality of the box as target."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from detzoo.config import config
from detzoo.losses.classification import ClassificationLoss
from detzoo.losses.scoring import SigmoidScoring


@config
class QualityLoss(SigmoidScoring, ClassificationLoss):
    """A loss between the score of a sample's own class and the quality of its box.

    Scores then rank boxes by their quality. The target of all other classes is 0.
    """

    def per_example(self, logits: Tensor, labels: Tensor, /) -> Tensor:
        return self.per_rated(logits, labels, torch.ones_like(logits[:, 0]))

    def rated(self, logits: Tensor, labels: Tensor, quality: Tensor) -> Tensor:
        """The loss of each sample (N,): :meth:`per_rated` times the loss's own weight."""
        return self.weight * self.per_rated(logits, labels, quality)

    @abstractmethod
    def per_rated(self, logits: Tensor, labels: Tensor, quality: Tensor) -> Tensor:
        """The unweighted loss of logits (N, C), labels (N,), quality (N,) from 0 to 1 -> (N,)."""
