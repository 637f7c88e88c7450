from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from detzoo.losses.seesaw import SeesawLoss, SeesawLossConfig

CLASSES = 3
LABELS = torch.tensor([0, 2, 3, 1, 3, 0])  # 3 is background
COUNT = torch.tensor(6.0)


def build(samples: list[float] | None = None, weight: float = 1.0) -> SeesawLoss:
    loss = SeesawLossConfig(weight=weight).build(CLASSES)
    if samples is not None:
        loss.cum_samples.copy_(torch.tensor(samples))
    return loss


def logits() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 2 * torch.randn((len(LABELS), CLASSES + 2), generator=generator)


def softmax(row: list[float]) -> list[float]:
    total = sum(math.exp(x) for x in row)
    return [math.exp(x) / total for x in row]


def slow_class_loss(rows: Tensor, samples: list[float]) -> float:
    """By the formulas of the paper, example by example."""
    total = 0.0
    for row, label in zip(rows[:, :CLASSES].tolist(), LABELS.tolist()):
        if label == CLASSES:
            continue
        probability = softmax(row)
        denominator = 0.0
        for j in range(CLASSES):
            mitigation, compensation = 1.0, 1.0
            if j != label:
                ratio = max(samples[j], 1) / max(samples[label], 1)
                mitigation = ratio**0.8 if ratio < 1 else 1.0
                excess = probability[j] / max(probability[label], 1e-2)
                compensation = excess**2 if excess > 1 else 1.0
            denominator += mitigation * compensation * math.exp(row[j])
        total -= math.log(math.exp(row[label]) / denominator)
    return total


def test_losses_equal_the_formulas() -> None:
    loss = build([500.0, 3.0, 20.0, 9000.0], weight=0.5)
    losses = loss.losses(logits(), LABELS, COUNT)
    # The regions of this very step count already.
    samples = [502.0, 4.0, 21.0, 9002.0]
    assert loss.cum_samples.tolist() == samples
    classes = 0.5 * slow_class_loss(logits(), samples) / 6
    assert losses["loss_cls_classes"].item() == pytest.approx(classes, rel=1e-5)
    objects = 0.0
    for row, label in zip(logits()[:, CLASSES:].tolist(), LABELS.tolist()):
        objects -= math.log(softmax(row)[1 if label == CLASSES else 0])
    assert losses["loss_cls_objectness"].item() == pytest.approx(0.5 * objects / 6, rel=1e-5)


def test_rare_classes_suffer_less_from_frequent_ones() -> None:
    row = torch.tensor([[1.0, 1.0, -9.0, 0.0, 0.0]])
    gradients = []
    for samples in ([1000.0, 1000.0, 1.0, 1.0], [1000.0, 10.0, 1.0, 1.0]):
        given = row.clone().requires_grad_()
        build(samples).per_example(given, torch.tensor([0])).sum().backward()
        assert given.grad is not None
        gradients.append(given.grad[0, 1].item())
    assert 0 < gradients[1] < 0.05 * gradients[0]


def test_accuracies() -> None:
    rows = torch.tensor(
        [
            [5.0, 0, 0, 1, 0],  # the right class, an object
            [5.0, 0, 0, 1, 0],  # the wrong class
            [0.0, 0, 5, 1, 0],  # background taken for an object
        ]
    )
    found = build().losses(rows, torch.tensor([0, 1, 3]), torch.tensor(3.0)).metrics
    assert found["acc_classes"].item() == 50
    assert found["acc_objectness"].item() == pytest.approx(200 / 3)


def test_scores_are_those_of_objects() -> None:
    rows = logits()
    scores = build().scores(rows)
    assert scores.shape == (6, CLASSES)
    is_object = rows[:, CLASSES:].softmax(1)[:, 0]
    torch.testing.assert_close(scores.sum(1), is_object)
    torch.testing.assert_close(scores / is_object[:, None], rows[:, :CLASSES].softmax(1))
    assert torch.equal(build().above(rows, 0.2), scores > 0.2)


@pytest.mark.parametrize("labels", [[], [3, 3]])
def test_without_objects(labels: list[int]) -> None:
    loss = build()
    rows = logits()[: len(labels)].requires_grad_()
    losses = loss.losses(rows, torch.tensor(labels, dtype=torch.int64), torch.tensor(1.0))
    assert losses["loss_cls_classes"].item() == 0
    losses.total().backward()
    assert rows.grad is not None
    assert rows.grad.isfinite().all()
    assert loss.cum_samples.tolist() == [0, 0, 0, len(labels)]


def test_probabilities_next_to_zero() -> None:
    rows = torch.tensor([[-200.0, 200.0, 0.0, 0.0, 0.0]], requires_grad=True)
    loss = build([1e6, 0.0, 0.0, 0.0]).per_example(rows, torch.tensor([0]))
    loss.sum().backward()
    assert loss.isfinite().all()
    assert rows.grad is not None
    assert rows.grad.isfinite().all()
