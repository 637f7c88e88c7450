from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor

from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.config import ConfigError
from detzoo.structures import BACKGROUND, IGNORED, Targets
from tests.ops import reference


def targets_of(*boxes: list[float], ignored: tuple[list[float], ...] = ()) -> Targets:
    return Targets(
        torch.tensor(boxes).reshape(-1, 4),
        torch.zeros(len(boxes), dtype=torch.int64),
        torch.tensor(ignored).reshape(-1, 4),
    )


def strips(*widths: float) -> Tensor:
    """Parts of a 10 x 10 target at the origin: a strip of width w has an IoU of w / 10."""
    return torch.tensor([[0.0, 0.0, width, 10.0] for width in widths])


WHOLE = [0.0, 0.0, 10.0, 10.0]


def test_thresholds() -> None:
    assigner = MaxIoUAssigner(positive_iou=0.7, negative_iou=0.3, match_low_quality=False)
    assignment = assigner.assign(strips(10, 7.5, 6.5, 3.5, 2.5), targets_of(WHOLE))
    assert assignment.target_index.tolist() == [0, 0, IGNORED, IGNORED, BACKGROUND]
    assert assignment.is_positive.tolist() == [True, True, False, False, False]
    assert assignment.is_background.tolist() == [False, False, False, False, True]
    torch.testing.assert_close(assignment.iou, torch.tensor([1, 0.75, 0.65, 0.35, 0.25]))


def test_the_positive_threshold_is_positive_and_the_negative_one_is_not_background() -> None:
    assigner = MaxIoUAssigner(positive_iou=0.5, negative_iou=0.25, match_low_quality=False)
    assignment = assigner.assign(strips(5, 2.5), targets_of(WHOLE))
    assert assignment.iou.tolist() == [0.5, 0.25]
    assert assignment.target_index.tolist() == [0, IGNORED]


def test_each_box_takes_the_target_it_overlaps_most() -> None:
    left, right = [0.0, 0.0, 10.0, 10.0], [10.0, 0.0, 20.0, 10.0]
    boxes = torch.tensor([[4.0, 0, 14, 10], [6.0, 0, 16, 10]])
    assigner = MaxIoUAssigner(positive_iou=0.4, negative_iou=0.4, match_low_quality=False)
    assert assigner.assign(boxes, targets_of(left, right)).target_index.tolist() == [0, 1]
    assert assigner.assign(boxes, targets_of(right, left)).target_index.tolist() == [1, 0]


def test_every_target_takes_its_best_boxes() -> None:
    assigner = MaxIoUAssigner(positive_iou=0.9, negative_iou=0.3, min_positive_iou=0.2)
    # The two equally good ones both; the worse one stays what its overlap makes it.
    assignment = assigner.assign(strips(6, 2, 6), targets_of(WHOLE))
    assert assignment.target_index.tolist() == [0, BACKGROUND, 0]
    # Not good enough even for that.
    assignment = assigner.assign(strips(1.5), targets_of(WHOLE))
    assert assignment.target_index.tolist() == [BACKGROUND]


def test_a_target_takes_a_box_even_from_a_better_one() -> None:
    assigner = MaxIoUAssigner(positive_iou=0.5, negative_iou=0.3)
    box = strips(10)
    part = [0.0, 0.0, 10.0, 4.0]
    assert assigner.assign(box, targets_of(WHOLE, part)).target_index.tolist() == [1]
    # The later target has it.
    assert assigner.assign(box, targets_of(part, WHOLE)).target_index.tolist() == [1]


def test_a_target_that_overlaps_nothing_takes_nothing() -> None:
    assigner = MaxIoUAssigner(min_positive_iou=0.0)
    far = [500.0, 500.0, 510.0, 510.0]
    assignment = assigner.assign(strips(10, 2), targets_of(far, WHOLE))
    assert assignment.target_index.tolist() == [1, BACKGROUND]
    assert assigner.assign(strips(10), targets_of(far)).target_index.tolist() == [BACKGROUND]


def test_boxes_in_ignored_regions() -> None:
    crowd = [0.0, 0.0, 4.0, 10.0]
    targets = targets_of(WHOLE, ignored=(crowd,))
    boxes = strips(10, 5, 4)
    with_regions = MaxIoUAssigner(ignored_iof=0.5, match_low_quality=False)
    assert with_regions.assign(boxes, targets).target_index.tolist() == [0, IGNORED, IGNORED]
    without = MaxIoUAssigner(match_low_quality=False)
    assert without.assign(boxes, targets).target_index.tolist() == [0, 0, BACKGROUND]
    # Also where there is nothing but ignored regions.
    empty = targets_of(ignored=(crowd,))
    index = with_regions.assign(boxes, empty).target_index
    assert index.tolist() == [BACKGROUND, IGNORED, IGNORED]


def test_no_targets_and_no_boxes() -> None:
    assigner = MaxIoUAssigner(ignored_iof=0.5)
    assignment = assigner.assign(strips(10, 2), targets_of())
    assert assignment.target_index.tolist() == [BACKGROUND, BACKGROUND]
    assert assignment.target_index.dtype == torch.int64
    assert assignment.iou.tolist() == [0, 0]
    for targets in (targets_of(), targets_of(WHOLE), targets_of(WHOLE, ignored=(WHOLE,))):
        assignment = assigner.assign(torch.zeros(0, 4), targets)
        assert assignment.target_index.shape == assignment.iou.shape == (0,)
        assert assignment.target_index.dtype == torch.int64


def slow(
    boxes: Tensor, targets: Tensor, positive: float, negative: float, minimum: float
) -> list[int]:
    index = []
    for box in boxes.tolist():
        overlaps = [reference.iou(target, box) for target in targets.tolist()]
        best = max(range(len(overlaps)), key=overlaps.__getitem__)
        if overlaps[best] >= positive:
            index.append(best)
        else:
            index.append(BACKGROUND if overlaps[best] < negative else IGNORED)
    for number, target in enumerate(targets.tolist()):
        overlaps = [reference.iou(target, box) for box in boxes.tolist()]
        if max(overlaps) >= minimum:
            index[overlaps.index(max(overlaps))] = number
    return index


@pytest.mark.parametrize("seed", range(5))
def test_equals_the_loop(seed: int) -> None:
    boxes = reference.random_boxes(40, seed=seed)
    targets = reference.random_boxes(6, seed=100 + seed)
    assigner = MaxIoUAssigner(positive_iou=0.6, negative_iou=0.3, min_positive_iou=0.2)
    wanted = slow(boxes, targets, 0.6, 0.3, 0.2)
    assert {BACKGROUND, IGNORED} < set(wanted)
    assert assigner.assign(boxes, targets_of(*targets.tolist())).target_index.tolist() == wanted


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"positive_iou": 0.4}, "negative_iou: 0.5 is above positive_iou 0.4"),
    ],
)
def test_settings_that_cannot_be(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        MaxIoUAssigner(**fields)
