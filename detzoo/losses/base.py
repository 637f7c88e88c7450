"""What every loss is: a value for each example, weighted and summed."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from detzoo.config import NonNegativeFloat, config


@config
class Loss(ABC):
    """A loss between what is predicted for N examples and what should be.

    Args:
        weight: Factor of the loss.
    """

    weight: NonNegativeFloat = 1.0

    def __call__(
        self, predicted: Tensor, target: Tensor, /, weights: Tensor | None = None
    ) -> Tensor:
        """The sum over the examples, each counted ``weights`` (N,) times, or once.

        The caller divides it by what it is averaged over.
        """
        losses = self.weighted(predicted, target)
        return losses.sum() if weights is None else (losses * weights).sum()

    def weighted(self, predicted: Tensor, target: Tensor, /) -> Tensor:
        """The loss of each example (N,), times the loss's own weight."""
        return self.weight * self.per_example(predicted, target)

    @abstractmethod
    def per_example(self, predicted: Tensor, target: Tensor, /) -> Tensor:
        """The loss of each example (N,), without the loss's own weight."""
