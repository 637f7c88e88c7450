"""Losses of a matching, on hand-written numbers."""

from __future__ import annotations

import math

import pytest
import torch

from detzoo.assigners.hungarian import FocalCost, HungarianAssigner, ProbabilityCost, TargetTable
from detzoo.heads.query.set_loss import QueryPredictions, SetLoss
from detzoo.losses.classification import FocalLoss, SoftmaxCrossEntropy
from detzoo.structures import BACKGROUND, ImageInfo, Targets

INFO = ImageInfo.of((100, 200))
SOFTMAX = SetLoss(
    assigner=HungarianAssigner(class_cost=ProbabilityCost()),
    classification_loss=SoftmaxCrossEntropy(),
    background_weight=0.1,
)
FOCAL = SetLoss(
    assigner=HungarianAssigner(class_cost=FocalCost(weight=2.0), box_form="corners"),
    classification_loss=FocalLoss(weight=2.0),
)


def table(*boxes: tuple[float, float, float, float]) -> TargetTable:
    targets = Targets.of(
        torch.tensor(boxes).reshape(-1, 4), torch.ones(len(boxes), dtype=torch.long)
    )
    return TargetTable.of([targets], [INFO])


def predictions(num_outputs: int, stages: int = 1) -> QueryPredictions:
    """Two queries without an opinion, of which the first is half of the object."""
    boxes = torch.tensor([[20.0, 10.0, 40.0, 50.0], [0.0, 0.0, 200.0, 100.0]])
    return QueryPredictions(
        torch.zeros(stages, 1, 2, num_outputs), boxes.expand(stages, 1, 2, 4).clone()
    )


OBJECT = (20.0, 10.0, 60.0, 50.0)
FIRST = torch.tensor([[[0, BACKGROUND]]])


def test_softmax_averages_over_weights() -> None:
    losses = SOFTMAX(predictions(3), FIRST, table(OBJECT))
    # Every query has log 3; weights are 1 and 0.1, and so is what they are divided by.
    assert losses["loss_cls"].tolist() == pytest.approx([math.log(3)])
    assert losses["loss_bbox"].tolist() == pytest.approx([5 * (0.05 + 0.1)])
    assert losses["loss_iou"].tolist() == pytest.approx([2 * 0.5])


def test_focal_averages_over_objects() -> None:
    losses = FOCAL(predictions(2), FIRST, table(OBJECT))
    # Two queries of two classes at even odds: one yes, three no.
    wanted = 2 * (0.25 + 3 * 0.75) * 0.25 * math.log(2)
    assert losses["loss_cls"].tolist() == pytest.approx([wanted])
    assert losses["loss_bbox"].tolist() == pytest.approx([5 * 0.1])


def test_stages_are_matched_by_themselves() -> None:
    given = predictions(3, stages=2)
    given.boxes[1, 0] = given.boxes[0, 0].flip(0)
    (index,) = SOFTMAX.match([given], [table(OBJECT)])
    assert index.tolist() == [[[0, BACKGROUND]], [[BACKGROUND, 0]]]
    losses = SOFTMAX(given, index, table(OBJECT))
    for values in losses.values():
        assert values[0].item() == pytest.approx(values[1].item())


@pytest.mark.parametrize(("loss", "outputs"), [(SOFTMAX, 3), (FOCAL, 2)])
def test_no_objects(loss: SetLoss, outputs: int) -> None:
    given = predictions(outputs)
    given.logits.requires_grad_()
    given.boxes.requires_grad_()
    (index,) = loss.match([given], [table()])
    losses = loss(given, index, table())
    assert losses["loss_bbox"].item() == losses["loss_iou"].item() == 0
    sum(losses.values()).sum().backward()
    assert given.boxes.grad is not None
    assert not given.boxes.grad.any()
    assert given.logits.grad is not None
    assert given.logits.grad.isfinite().all()
