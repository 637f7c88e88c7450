from __future__ import annotations

import math

import pytest
import torch

from detzoo.losses.generalized_focal import DistributionFocalLoss, QualityFocalLoss


def slow_quality(logits: list[float], label: int, quality: float, beta: float) -> float:
    total = 0.0
    for k, logit in enumerate(logits):
        p = 1 / (1 + math.exp(-logit))
        y = quality if k == label else 0.0
        total -= abs(y - p) ** beta * ((1 - y) * math.log(1 - p) + y * math.log(p))
    return total


@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_quality(beta: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((6, 4), generator=generator) * 2
    labels = torch.tensor([0, 3, 4, 2, 4, 1])
    quality = torch.rand(6, generator=generator)
    loss = QualityFocalLoss(beta=beta)
    found = loss.rated(logits, labels, quality)
    rows = zip(logits.tolist(), labels.tolist(), quality.tolist())
    wanted = [slow_quality(row, label, q, beta) for row, label, q in rows]
    assert found.tolist() == pytest.approx(wanted, rel=1e-5)
    doubled = QualityFocalLoss(beta=beta, weight=2.0).rated(logits, labels, quality)
    torch.testing.assert_close(doubled, 2 * found)
    # Without ratings every object is perfect.
    torch.testing.assert_close(
        loss.per_example(logits, labels), loss.rated(logits, labels, torch.ones(6))
    )


def test_quality_gradients() -> None:
    logits = torch.randn((3, 4), dtype=torch.float64, requires_grad=True)
    labels, quality = torch.tensor([1, 4, 0]), torch.tensor([0.3, 0.0, 0.8], dtype=torch.float64)
    torch.autograd.gradcheck(
        lambda x: QualityFocalLoss().rated(x, labels, quality), logits, raise_exception=True
    )
    assert QualityFocalLoss().rated(logits[:0], labels[:0], quality[:0]).shape == (0,)


def test_distribution() -> None:
    logits = torch.tensor([[0.5, -1.0, 2.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    log = logits.log_softmax(-1).tolist()
    target, weights = torch.tensor([1.25, 2.0]), torch.tensor([2.0, 1.0])
    wanted = 2 * -(0.75 * log[0][1] + 0.25 * log[0][2]) - log[1][2]
    found = DistributionFocalLoss(weight=0.5)(logits, target, weights)
    assert found.item() == pytest.approx(0.5 * wanted, rel=1e-6)
