from __future__ import annotations

import math

import torch

from detzoo.losses.distillation import DistillationLoss


def test_divergence_of_the_softened_distributions() -> None:
    own, taught = [0.3, -1.0, 2.0], [1.5, 0.0, -0.5]
    p = [math.exp(value / 2) for value in own]
    q = [math.exp(value / 2) for value in taught]
    p, q = [v / sum(p) for v in p], [v / sum(q) for v in q]
    wanted = 4 * sum(b * math.log(b / a) for a, b in zip(p, q)) / 3
    loss = DistillationLoss(temperature=2.0)
    logits = torch.tensor([own, own], requires_grad=True)
    targets = torch.tensor([taught, own], requires_grad=True)
    found = loss.per_example(logits, targets)
    torch.testing.assert_close(found, torch.tensor([wanted, 0.0]))
    found.sum().backward()
    assert logits.grad is not None
    assert targets.grad is None
