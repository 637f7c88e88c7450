"""Gradient harmonizing mechanism (GHM): down-weights samples with common gradient norms.

https://arxiv.org/abs/1811.05181. Gradient norms are counted in bins, as a running mean over
training, in buffers that are part of published checkpoints.
"""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import NonNegativeFloat, PositiveFloat, PositiveInt, Range, config

# Strictly between 0 and 1.
Momentum = Annotated[float, Range(0, 1, above=True, below=True)]


@config
class HarmonizedClassificationConfig:
    """Binary cross entropy per class.

    Args:
        weight: Factor of the loss.
        bins: Number of bins of gradient norms.
        momentum: Momentum of the running counts.
    """

    weight: NonNegativeFloat = 1.0
    bins: PositiveInt = 30
    momentum: Momentum = 0.75

    def build(self) -> HarmonizedClassification:
        return HarmonizedClassification(self)


@config
class HarmonizedRegressionConfig:
    """A smooth L1 loss that is quadratic around zero.

    Args:
        weight: Factor of the loss.
        bins: Number of bins of gradient norms.
        momentum: Momentum of the running counts.
        mu: Scale of the differences at which the loss is quadratic.
    """

    weight: NonNegativeFloat = 10.0
    bins: PositiveInt = 10
    momentum: Momentum = 0.7
    mu: PositiveFloat = 0.02

    def build(self) -> HarmonizedRegression:
        return HarmonizedRegression(self)


class HarmonizedClassification(nn.Module):
    """Buffers ``edges`` (bins + 1,) of the bins, and ``acc_sum`` (bins,) of their counts."""

    edges: Tensor
    acc_sum: Tensor

    def __init__(self, config: HarmonizedClassificationConfig) -> None:
        super().__init__()
        self.config = config
        edges = torch.arange(config.bins + 1) / config.bins
        edges[-1] += 1e-6
        self.register_buffer("edges", edges)
        self.register_buffer("acc_sum", torch.zeros(config.bins))

    def forward(self, logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        """Returns the mean over logits (N, C) of samples with labels (N,), C for background.

        Samples with weight (N,) 0 are left out.
        """
        num_classes = logits.shape[1]
        target = F.one_hot(labels, num_classes + 1)[:, :num_classes].to(logits)
        counted = (weights > 0)[:, None].expand_as(logits)
        gradient = (logits.detach().sigmoid() - target).abs()
        loss = F.softplus(logits) - target * logits
        shares = harmonize(gradient, counted, self.edges, self.acc_sum, self.config.momentum)
        return self.config.weight * (loss * shares).sum()


class HarmonizedRegression(nn.Module):
    """Buffers as in :class:`HarmonizedClassification`."""

    edges: Tensor
    acc_sum: Tensor

    def __init__(self, config: HarmonizedRegressionConfig) -> None:
        super().__init__()
        self.config = config
        edges = torch.arange(config.bins + 1) / config.bins
        edges[-1] = 1000.0
        self.register_buffer("edges", edges)
        self.register_buffer("acc_sum", torch.zeros(config.bins))

    def forward(self, predicted: Tensor, target: Tensor, weights: Tensor) -> Tensor:
        """Returns the mean over codes (N, 4); samples with weight (N,) 0 are left out."""
        difference = predicted - target
        length = (difference.square() + self.config.mu**2).sqrt()
        counted = (weights > 0)[:, None].expand_as(difference)
        gradient = (difference / length).detach().abs()
        loss = length - self.config.mu
        shares = harmonize(gradient, counted, self.edges, self.acc_sum, self.config.momentum)
        return self.config.weight * (loss * shares).sum()


@torch.no_grad()
def harmonize(
    gradient: Tensor, counted: Tensor, edges: Tensor, counts: Tensor, momentum: float
) -> Tensor:
    """Computes the weight of each sample in the mean, by the number of samples with a similar
    ``gradient`` (...).

    Each non-empty bin has the same share, divided by its running count, which is updated in place;
    samples that are not ``counted`` (...) have weight 0.
    """
    bin_index = torch.bucketize(gradient, edges[1:-1], right=True)
    present = counted.to(counts)
    found = torch.zeros_like(counts).scatter_add(0, bin_index.flatten(), present.flatten())
    occupied = found > 0
    counts.copy_(torch.where(occupied, momentum * counts + (1 - momentum) * found, counts))
    share = torch.where(occupied, 1 / counts, 0.0) / occupied.sum().clamp(min=1)
    return share[bin_index] * present
