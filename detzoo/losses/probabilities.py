"""Logarithms of probabilities, finite where the probability is nothing."""

from __future__ import annotations

from torch import Tensor


def negative_log(probability: Tensor) -> Tensor:
    """How unlikely an event of this probability is; no gradient from 1e-12 on downwards."""
    return -probability.clamp(min=1e-12).log()
