"""Logarithms of probabilities, finite for probability 0."""

from __future__ import annotations

from torch import Tensor


def negative_log(probability: Tensor) -> Tensor:
    """The negative log-likelihood of a probability; without gradient at 1e-12 and below."""
    return -probability.clamp(min=1e-12).log()
