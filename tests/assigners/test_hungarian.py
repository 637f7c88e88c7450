"""Matching of queries and objects, on hand-written numbers and against all permutations."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from detzoo.assigners.hungarian import (
    FocalCost,
    HungarianAssigner,
    ProbabilityCost,
    TargetTable,
    solve,
)
from detzoo.structures import BACKGROUND, ImageInfo, Targets

INFOS = (ImageInfo.of((100, 200)), ImageInfo.of((50, 80)))


def table(*counts: int) -> TargetTable:
    generator = torch.Generator().manual_seed(1)
    targets = []
    for count in counts:
        low = torch.rand((count, 2), generator=generator) * 20
        boxes = torch.cat([low, low + 5 + torch.rand((count, 2), generator=generator) * 20], 1)
        targets.append(Targets.of(boxes, torch.arange(count) % 3))
    return TargetTable.of(targets, INFOS[: len(counts)])


def test_table_pads() -> None:
    padded = table(2, 0)
    assert padded.boxes.shape == (2, 3, 4)
    assert padded.counts == (2, 0)
    assert padded.scale[:, 0].tolist() == [[200, 100, 200, 100], [80, 50, 80, 50]]
    labels, boxes = padded.rows(torch.tensor([[[1, 0], [0, 0]]]))
    assert labels.tolist() == [[[1, 0], [0, 0]]]
    assert torch.equal(boxes[0, 0], padded.boxes[0, [1, 0]])
    assert padded.class_agnostic().labels.tolist() == [[0, 0, 0], [0, 0, 0]]


def test_class_costs() -> None:
    logits = torch.tensor([0.0, 1.0, -1.0]).view(1, 1, 1, 3)
    labels = torch.tensor([[1, 2]])
    probability = logits.softmax(-1).flatten()
    found = ProbabilityCost(weight=2.0)(logits, labels).flatten()
    torch.testing.assert_close(found, -2 * probability[1:])
    p = 1 / (1 + math.exp(-1.0))
    positive, negative = -0.25 * (1 - p) ** 2 * math.log(p), -0.75 * p**2 * math.log(1 - p)
    found = FocalCost(weight=2.0)(logits, labels)[0, 0, 0, 0]
    assert found.item() == pytest.approx(2 * (positive - negative), rel=1e-5)


@pytest.mark.parametrize("form", ["corners", "center_size"])
def test_box_costs(form: str) -> None:
    assigner = HungarianAssigner(
        class_cost=ProbabilityCost(weight=0.0), box_weight=5.0, giou_weight=2.0, box_form=form
    )
    wanted = Targets.of(torch.tensor([[20.0, 10.0, 60.0, 50.0]]), torch.tensor([0]))
    boxes = torch.tensor([20.0, 10.0, 40.0, 50.0]).view(1, 1, 1, 4)
    cost = assigner.cost(
        torch.zeros(1, 1, 1, 2), boxes, TargetTable.of([wanted], [ImageInfo.of((100, 200))])
    )
    # Half of the box is covered: the other half is one tenth of the image's width.
    distance = 0.1 if form == "corners" else 0.05 + 0.1
    # One minus the generalised IoU, which differs from the cost by a constant alone.
    assert cost[0, 0, 0, 0].item() == pytest.approx(5 * distance + 2 * (1 - 0.5))


def test_least_total_cost() -> None:
    generator = torch.Generator().manual_seed(0)
    costs = torch.randn((3, 2, 5, 4), generator=generator)
    (index,) = solve([costs], (4, 2))
    for stage in range(3):
        for image, count in enumerate((4, 2)):
            own = costs[stage, image]
            least = min(
                sum(own[q, n].item() for n, q in enumerate(queries))
                for queries in itertools.permutations(range(5), count)
            )
            matched = index[stage, image]
            assert sorted(matched[matched >= 0].tolist()) == list(range(count))
            total = sum(own[q, n].item() for q, n in enumerate(matched.tolist()) if n >= 0)
            assert total == pytest.approx(least, abs=1e-5)


def test_several_sets_at_once() -> None:
    generator = torch.Generator().manual_seed(0)
    first = torch.randn((2, 1, 3, 2), generator=generator)
    second = torch.randn((1, 1, 7, 2), generator=generator)
    both = solve([first, second], (2,))
    assert torch.equal(both[0], solve([first], (2,))[0])
    assert torch.equal(both[1], solve([second], (2,))[0])


def test_no_objects() -> None:
    (index,) = solve([torch.randn(2, 2, 3, 1)], (0, 0))
    assert (index == BACKGROUND).all()


def test_more_objects_than_queries() -> None:
    (index,) = solve([torch.tensor([[[[3.0, 1.0, 2.0], [0.0, 5.0, 5.0]]]])], (3,))
    assert index.tolist() == [[[1, 0]]]


def test_costs_that_are_no_numbers_are_avoided() -> None:
    nan, inf = float("nan"), float("inf")
    (index,) = solve([torch.tensor([[[[nan, inf], [1.0, nan], [inf, 2.0]]]])], (2,))
    assert index.tolist() == [[[BACKGROUND, 0, 1]]]
