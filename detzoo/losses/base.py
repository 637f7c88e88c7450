"""The base class of losses: a value per sample, weighted and summed."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from detzoo.config import NonNegativeFloat, config


@config
class Loss(ABC):
    """A loss between predictions and targets of N samples.

    Args:
        weight: Factor of the loss.
    """

    weight: NonNegativeFloat = 1.0

    def __call__(
        self, predicted: Tensor, target: Tensor, /, weights: Tensor | None = None
    ) -> Tensor:
        """Returns the sum over the samples, weighted by ``weights`` (N,) if given.

        The caller divides it by the normalizer.
        """
        losses = self.weighted(predicted, target)
        return losses.sum() if weights is None else (losses * weights).sum()

    def weighted(self, predicted: Tensor, target: Tensor, /) -> Tensor:
        """The loss of each sample (N,), multiplied by the loss's own weight."""
        return self.weight * self.per_example(predicted, target)

    @abstractmethod
    def per_example(self, predicted: Tensor, target: Tensor, /) -> Tensor:
        """The loss of each sample (N,), without the loss's own weight."""
