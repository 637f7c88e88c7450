"""Fits mixtures of two Gaussians to many small sets of numbers in parallel."""

from __future__ import annotations

import math

import torch
from torch import Tensor

MAX_STEPS = 100
TOLERANCE = 1e-3  # change of the mean log likelihood at which a row has converged
MIN_VARIANCE = 1e-6


def split_in_two(values: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """Fits a mixture of two Gaussians to each row of ``values`` (R, K), by expectation maximization
    from Gaussians of variance 1 at the smallest and the largest value.

    Only ``real`` (R, K) entries are used; a row needs at least one. Returns whether each value
    belongs to the first Gaussian (R, K), and its log likelihood under the mixture (R, K); both are
    meaningless for entries that are not real. A row stops changing once it has converged, but all
    rows take ``MAX_STEPS`` steps, so that the host is never synchronized with the device.
    """
    x = torch.where(real, values, 0.0).double()[..., None]  # (R, K, 1)
    counts = real.double()[..., None]
    num = counts.sum(1)  # (R, 1)
    low = values.masked_fill(~real, torch.inf).amin(1)
    high = values.masked_fill(~real, -torch.inf).amax(1)
    mean = torch.stack([low, high], 1).double()  # (R, 2)
    variance, share = torch.ones_like(mean), torch.full_like(mean, 0.5)
    previous = torch.full_like(num, -torch.inf)
    running = torch.ones_like(num, dtype=torch.bool)
    for _ in range(MAX_STEPS):
        joint = _log_joint(x, mean, variance, share)
        likelihood = joint.logsumexp(-1, keepdim=True)  # (R, K, 1)
        member = (joint - likelihood).exp() * counts  # (R, K, 2)
        size = member.sum(1) + 10 * torch.finfo(torch.float64).eps
        new_mean = (member * x).sum(1) / size
        spread = (member * (x - new_mean[:, None]).square()).sum(1) / size
        mean = torch.where(running, new_mean, mean)
        variance = torch.where(running, spread + MIN_VARIANCE, variance)
        share = torch.where(running, size / num, share)
        average = (likelihood * counts).sum(1) / num
        running = running & ~((average - previous).abs() < TOLERANCE)
        previous = average
    joint = _log_joint(x, mean, variance, share)
    return joint[..., 0] >= joint[..., 1], joint.logsumexp(-1)


def _log_joint(x: Tensor, mean: Tensor, variance: Tensor, share: Tensor) -> Tensor:
    """Log of each Gaussian's share of the density at x (R, K, 1) -> (R, K, 2)."""
    distance = (x - mean[:, None]).square() / variance[:, None]
    constant = share.log() - (2 * math.pi * variance).log() / 2
    return constant[:, None] - distance / 2
