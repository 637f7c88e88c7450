from __future__ import annotations

import math

import pytest
import torch

from detzoo.losses.varifocal import VarifocalLoss


def slow(logits: list[float], label: int, quality: float, alpha: float, gamma: float) -> float:
    """Equation 2 of the paper."""
    total = 0.0
    for k, logit in enumerate(logits):
        p = 1 / (1 + math.exp(-logit))
        if k == label:
            total -= quality * (quality * math.log(p) + (1 - quality) * math.log(1 - p))
        else:
            total -= alpha * p**gamma * math.log(1 - p)
    return total


@pytest.mark.parametrize(("alpha", "gamma"), [(0.75, 2.0), (0.5, 1.0)])
def test_values(alpha: float, gamma: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((6, 4), generator=generator) * 2
    labels = torch.tensor([0, 3, 4, 2, 4, 1])  # 4 is background
    quality = torch.rand(6, generator=generator)
    found = VarifocalLoss(alpha=alpha, gamma=gamma).per_rated(logits, labels, quality)
    rows = zip(logits.tolist(), labels.tolist(), quality.tolist())
    wanted = [slow(row, label, q, alpha, gamma) for row, label, q in rows]
    assert found.tolist() == pytest.approx(wanted, rel=1e-5)


def test_gradients() -> None:
    logits = torch.randn((3, 4), dtype=torch.float64, requires_grad=True)
    labels, quality = torch.tensor([1, 4, 0]), torch.tensor([0.3, 0.0, 0.8], dtype=torch.float64)
    torch.autograd.gradcheck(lambda x: VarifocalLoss().per_rated(x, labels, quality), (logits,))


def test_the_score_that_costs_least_is_the_quality() -> None:
    scores = torch.linspace(0.05, 0.95, 19)
    loss = VarifocalLoss().per_rated(
        torch.logit(scores)[:, None], torch.zeros(19, dtype=torch.long), torch.full((19,), 0.7)
    )
    assert scores[loss.argmin()].item() == pytest.approx(0.7)
