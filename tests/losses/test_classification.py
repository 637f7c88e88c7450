"""Each loss against its formula, one logit at a time in Python floats."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from detzoo.config import ConfigError
from detzoo.losses.classification import (
    BackgroundCrossEntropy,
    BackgroundFocalLoss,
    ClassificationLoss,
    FocalLoss,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
)

LOSSES = (
    SoftmaxCrossEntropy(),
    SigmoidCrossEntropy(),
    FocalLoss(gamma=1.5, alpha=0.3),
    SoftmaxCrossEntropy(class_weights=(1.0, 2.0, 3.0, 0.5)),
    SigmoidCrossEntropy(class_weights=(1.0, 2.0, 3.0)),
    BackgroundCrossEntropy(class_weights=(1.0, 2.0, 3.0, 0.5)),
    BackgroundFocalLoss(gamma=1.5, alpha=0.3),
)
CLASSES = 3


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def slow(loss: ClassificationLoss, logits: list[float], label: int) -> float:
    match loss:
        case SoftmaxCrossEntropy():
            weight = 1.0 if loss.class_weights is None else loss.class_weights[label]
            return weight * (math.log(sum(math.exp(x) for x in logits)) - logits[label])
        case SigmoidCrossEntropy():
            answers = [sigmoid(x if k == label else -x) for k, x in enumerate(logits)]
            weights = loss.class_weights or (1.0,) * len(logits)
            return -sum(
                (weights[k] if k == label else 1) * math.log(p) for k, p in enumerate(answers)
            )
        case FocalLoss():
            total = 0.0
            for k, x in enumerate(logits):
                p = sigmoid(x if k == label else -x)  # probability of the right answer
                alpha = loss.alpha if k == label else 1 - loss.alpha
                total -= alpha * (1 - p) ** loss.gamma * math.log(p)
            return total
    raise AssertionError(loss)


def examples(loss: ClassificationLoss) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn((12, loss.num_outputs(CLASSES)), generator=generator)
    return logits, torch.arange(12) % (CLASSES + 1)  # background among the labels


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_equals_the_formula(loss: ClassificationLoss) -> None:
    logits, labels = examples(loss)
    wanted = [slow(loss, row, label) for row, label in zip(logits.tolist(), labels.tolist())]
    torch.testing.assert_close(
        loss.per_example(logits, labels), torch.tensor(wanted), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_gradients(loss: ClassificationLoss) -> None:
    logits, labels = examples(loss)
    assert torch.autograd.gradcheck(
        lambda x: loss.per_example(x, labels), logits.double().requires_grad_()
    )


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_the_sum_is_weighted(loss: ClassificationLoss) -> None:
    logits, labels = examples(loss)
    weights = torch.linspace(0, 1, len(labels))
    wanted = sum(w * v for w, v in zip(weights, loss.per_example(logits, labels)))
    torch.testing.assert_close(loss(logits, labels, weights), wanted)
    doubled = dataclasses.replace(loss, weight=2.0)
    torch.testing.assert_close(doubled(logits, labels, weights), 2 * wanted)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_extreme_logits_are_finite(loss: ClassificationLoss) -> None:
    logits = torch.full((2, loss.num_outputs(CLASSES)), -200.0)
    logits[0, 0] = logits[1, 1] = 200.0
    logits.requires_grad_()
    labels = torch.tensor([0, 0])  # one surely right, one surely wrong
    values = loss.per_example(logits, labels)
    values.sum().backward()
    assert values[0].item() == pytest.approx(0, abs=1e-6)
    assert 50 < values[1].item() < 900
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_no_examples(loss: ClassificationLoss) -> None:
    logits = torch.zeros((0, loss.num_outputs(CLASSES)), requires_grad=True)
    total = loss(logits, torch.zeros(0).long(), torch.zeros(0))
    total.backward()
    assert total.item() == 0
    assert logits.grad is not None


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
@pytest.mark.parametrize("min_score", [0.0, 0.05, 0.5])
def test_above_is_where_the_score_is(loss: ClassificationLoss, min_score: float) -> None:
    logits, _ = examples(loss)
    scores = loss.scores(logits)
    assert scores.shape == (12, CLASSES)
    assert torch.equal(loss.above(logits, min_score), scores > min_score)


def test_scores() -> None:
    logits = torch.tensor([[0.0, math.log(3), math.log(4)]])
    torch.testing.assert_close(SoftmaxCrossEntropy().scores(logits), torch.tensor([[1 / 8, 3 / 8]]))
    wanted = torch.tensor([[1 / 2, 3 / 4, 4 / 5]])
    torch.testing.assert_close(SigmoidCrossEntropy().scores(logits), wanted)
    torch.testing.assert_close(FocalLoss().scores(logits), wanted)


def test_number_of_outputs() -> None:
    assert [loss.num_outputs(80) for loss in LOSSES] == [81, 80, 80, 81, 80, 81, 81]


def test_background_is_one_more_class_where_scores_are_a_softmax() -> None:
    logits, labels = examples(BackgroundFocalLoss())
    plain = FocalLoss().per_example(logits, labels)  # of four classes
    assert torch.equal(BackgroundFocalLoss().per_example(logits, labels), plain)
    scores = SoftmaxCrossEntropy().scores(logits)
    assert torch.equal(BackgroundFocalLoss().scores(logits), scores)
    assert torch.equal(BackgroundCrossEntropy().scores(logits), scores)


def test_a_weight_for_each_class() -> None:
    message = "has 2 values, but there are 4 classes, and one of background"
    with pytest.raises(ConfigError, match=message):
        SoftmaxCrossEntropy(class_weights=(1.0, 2.0))(torch.zeros(1, 4), torch.zeros(1).long())
