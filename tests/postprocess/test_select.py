from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from detzoo.config import ConfigError
from detzoo.postprocess.nms import NMS, SoftNMS
from detzoo.postprocess.select import Select
from detzoo.structures import Candidates


def candidates(group: list[int]) -> Candidates:
    """Two boxes at the same place, and one elsewhere."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60]])
    return Candidates(
        boxes, torch.tensor([0.5, 0.9, 0.7]), torch.tensor([4, 5, 6]), torch.tensor(group)
    )


def test_duplicates_go_within_a_group() -> None:
    given = candidates([0, 0, 0])
    detections = Select(suppression=NMS(max_iou=0.5))(given)
    assert detections.labels.tolist() == [5, 6]
    torch.testing.assert_close(detections.scores, torch.tensor([0.9, 0.7]))
    assert torch.equal(detections.boxes, given.boxes[[1, 2]])
    assert detections.masks is None


def test_groups_do_not_see_each_other() -> None:
    detections = Select(suppression=NMS(max_iou=0.5))(candidates([0, 1, 0]))
    assert detections.labels.tolist() == [5, 6, 4]


def test_the_best_are_kept() -> None:
    detections = Select(suppression=NMS(max_iou=0.5), max_detections=2)(candidates([0, 1, 0]))
    assert detections.labels.tolist() == [5, 6]


def test_soft_suppression_lowers_scores_and_sorts_by_the_new_ones() -> None:
    detections = Select(suppression=SoftNMS(max_iou=0.5))(candidates([0, 0, 0]))
    assert detections.labels.tolist() == [5, 6, 4]
    torch.testing.assert_close(detections.scores, torch.tensor([0.9, 0.7, 0.5 * (1 - 0.9)]))


def test_soft_suppression_drops_what_falls_too_low() -> None:
    suppression = SoftNMS(max_iou=0.5, min_score=0.06)
    assert Select(suppression=suppression)(candidates([0, 0, 0])).labels.tolist() == [5, 6]


def test_no_candidates() -> None:
    given = candidates([0, 0, 0])[torch.zeros(3, dtype=torch.bool)]
    for suppression in (NMS(), SoftNMS()):
        detections = Select(suppression=suppression)(given)
        assert detections.boxes.shape == (0, 4)
        assert detections.scores.shape == (0,)
        assert detections.labels.dtype == torch.int64


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"min_score": 1.0}, "min_score: 1.0 is not less than 1"),
        ({"pre_nms": 0}, "pre_nms: 0 is not at least 1"),
        ({"max_detections": 0}, "max_detections: 0 is not at least 1"),
    ],
)
def test_settings_that_cannot_be(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        Select(**fields)
