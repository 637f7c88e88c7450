from __future__ import annotations

import math

import pytest
import torch

from detzoo.config import ConfigError
from detzoo.losses.gradient_harmonized import (
    HarmonizedClassificationConfig,
    HarmonizedRegressionConfig,
)


def slow_shares(
    gradients: list[float], bins: int, momentum: float, counts: list[float]
) -> list[float]:
    """What each example counts; ``counts`` are the running ones, and are updated."""
    place = [min(int(g * bins), bins - 1) for g in gradients]
    for k in set(place):
        counts[k] = momentum * counts[k] + (1 - momentum) * place.count(k)
    return [1 / counts[k] / len(set(place)) for k in place]


def test_classification_equals_the_loop() -> None:
    loss = HarmonizedClassificationConfig(bins=5, momentum=0.75, weight=2.0).build()
    counts = [0.0] * 5
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        logits = torch.randn((7, 3), generator=generator) * 3
        labels = torch.randint(0, 4, (7,), generator=generator)
        weights = torch.tensor([1.0, 1, 0, 1, 1, 0, 1])
        found = loss(logits, labels, weights)
        gradients, losses = [], []
        for row, label, weight in zip(logits.tolist(), labels.tolist(), weights.tolist()):
            for k, logit in enumerate(row):
                if weight:
                    p, y = 1 / (1 + math.exp(-logit)), float(k == label)
                    gradients.append(abs(p - y))
                    losses.append(-math.log(p if y else 1 - p))
        shares = slow_shares(gradients, 5, 0.75, counts)
        wanted = 2 * sum(a * b for a, b in zip(losses, shares))
        assert found.item() == pytest.approx(wanted, rel=1e-4)
        assert loss.acc_sum.tolist() == pytest.approx(counts)


def test_regression_equals_the_loop() -> None:
    loss = HarmonizedRegressionConfig(bins=4, momentum=0.7, mu=0.1, weight=1.0).build()
    counts = [0.0] * 4
    generator = torch.Generator().manual_seed(0)
    predicted, target = (torch.randn((5, 4), generator=generator) * 0.2 for _ in range(2))
    weights = torch.tensor([1.0, 0, 1, 1, 0])
    found = loss(predicted, target, weights)
    difference = (predicted - target)[weights > 0].flatten().tolist()
    length = [math.hypot(d, 0.1) for d in difference]
    shares = slow_shares([abs(d) / n for d, n in zip(difference, length)], 4, 0.7, counts)
    wanted = sum((n - 0.1) * share for n, share in zip(length, shares))
    assert found.item() == pytest.approx(wanted, rel=1e-4)


def test_nothing_to_learn() -> None:
    classes = HarmonizedClassificationConfig().build()
    boxes = HarmonizedRegressionConfig().build()
    logits = torch.randn((4, 3), requires_grad=True)
    nothing = torch.zeros(4)
    total = classes(logits, torch.full((4,), 3), nothing) + boxes(
        torch.ones(4, 4), torch.zeros(4, 4), nothing
    )
    assert total.item() == 0
    total.backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert not classes.acc_sum.any()


def test_buffers_are_those_of_checkpoints() -> None:
    classes = HarmonizedClassificationConfig(bins=30).build()
    assert {k: v.shape for k, v in classes.state_dict().items()} == {
        "edges": (31,),
        "acc_sum": (30,),
    }
    assert classes.edges[-1] > 1


@pytest.mark.parametrize(("field", "value"), [("bins", 0), ("momentum", 1.0), ("momentum", 0.0)])
def test_impossible_settings(field: str, value: float) -> None:
    for kind in (HarmonizedClassificationConfig, HarmonizedRegressionConfig):
        with pytest.raises(ConfigError, match=field):
            kind(**{field: value})  # type: ignore[arg-type]
