from __future__ import annotations

import pytest
import torch

from detzoo.ops.boxes import (
    box_area,
    clip_boxes,
    elementwise_iou,
    flip_boxes,
    intersection,
    pairwise_iof,
    pairwise_iou,
)
from tests.ops import reference

A, B = reference.random_boxes(9, seed=0), reference.random_boxes(7, seed=1)


def test_pairwise_iou_equals_the_loop() -> None:
    slow = torch.tensor([[reference.iou(a, b) for b in B.tolist()] for a in A.tolist()])
    assert (slow > 0).any()
    assert (slow == 0).any()
    torch.testing.assert_close(pairwise_iou(A, B), slow)


def test_pairwise_iof_equals_the_loop() -> None:
    slow = torch.tensor(
        [[reference.common_area(a, b) / reference.area(a) for b in B.tolist()] for a in A.tolist()]
    )
    torch.testing.assert_close(pairwise_iof(A, B), slow)


def test_elementwise_iou_is_the_diagonal() -> None:
    slow = torch.tensor([reference.iou(a, b) for a, b in zip(A[:7].tolist(), B.tolist())])
    torch.testing.assert_close(elementwise_iou(A[:7], B), slow)


def test_values_by_hand() -> None:
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [5.0, 5.0, 15.0, 25.0]])
    assert box_area(boxes).tolist() == [100, 200]
    assert intersection(boxes[0], boxes[1]) == 25
    assert elementwise_iou(boxes[0], boxes[1]) == pytest.approx(25 / 275)
    coverage = pairwise_iof(boxes, boxes)
    torch.testing.assert_close(coverage, torch.tensor([[1.0, 0.25], [0.125, 1.0]]))


def test_boxes_that_only_touch_have_nothing_in_common() -> None:
    left, right = torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[10.0, 0, 20, 10]])
    assert pairwise_iou(left, right).item() == 0


def test_boxes_without_area_overlap_nothing() -> None:
    points = torch.tensor([[3.0, 3.0, 3.0, 3.0], [0.0, 0.0, 0.0, 0.0]])
    assert pairwise_iou(points, points).tolist() == [[0, 0], [0, 0]]
    assert pairwise_iof(points, A[:1]).tolist() == [[0], [0]]
    assert elementwise_iou(points, points).tolist() == [0, 0]


def test_no_boxes() -> None:
    none = torch.zeros((0, 4))
    assert pairwise_iou(none, B).shape == (0, 7)
    assert pairwise_iou(A, none).shape == (9, 0)
    assert pairwise_iof(none, none).shape == (0, 0)
    assert elementwise_iou(none, none).shape == (0,)
    assert clip_boxes(none, (5, 5)).shape == (0, 4)
    assert flip_boxes(none, (5, 5), "diagonal").shape == (0, 4)


def test_gradients() -> None:
    a = reference.random_boxes(4, seed=2).double().requires_grad_()
    b = reference.random_boxes(4, seed=3).double().requires_grad_()
    assert torch.autograd.gradcheck(elementwise_iou, (a, b))
    assert torch.autograd.gradcheck(pairwise_iou, (a, b))


def test_clip_cuts_at_all_four_borders() -> None:
    boxes = torch.tensor([[-5.0, -6.0, 50.0, 60.0], [1.0, 2.0, 3.0, 4.0], [70.0, 5.0, 90.0, 9.0]])
    wanted = [[0, 0, 40, 30], [1, 2, 3, 4], [40, 5, 40, 9]]
    assert clip_boxes(boxes, (30, 40)).tolist() == wanted


@pytest.mark.parametrize(
    ("flip", "wanted"),
    [
        ("none", [1, 2, 3, 5]),
        ("horizontal", [37, 2, 39, 5]),
        ("vertical", [1, 25, 3, 28]),
        ("diagonal", [37, 25, 39, 28]),
    ],
)
def test_flip(flip: str, wanted: list[float]) -> None:
    boxes = torch.tensor([[1.0, 2.0, 3.0, 5.0]])
    flipped = flip_boxes(boxes, (30, 40), flip)
    assert flipped.tolist() == [wanted]
    assert flip_boxes(flipped, (30, 40), flip).tolist() == boxes.tolist()
