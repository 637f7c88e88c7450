from __future__ import annotations

import pytest
import torch

from detzoo.assigners.atss import ATSSAssigner
from detzoo.assigners.predicted_atss import PredictedATSSAssigner
from detzoo.priors.anchors import AnchorGrid
from detzoo.structures import BACKGROUND, IGNORED, Targets

PRIORS = AnchorGrid(scales=(4.0,), ratios=(1.0,)).place(
    ((8, 8), (4, 4)), (8, 16), torch.device("cpu")
)
TARGETS = Targets.of(torch.tensor([[3.0, 5, 40, 44], [20, 22, 50, 60]]), torch.tensor([1, 0]))
ALLOWED = torch.ones(len(PRIORS), dtype=torch.bool)


def test_predicting_the_priors_is_atss() -> None:
    scores = torch.full((len(PRIORS), 2), 0.3)
    found = PredictedATSSAssigner(iou_weight=1.0).assign(
        PRIORS, scores, PRIORS.boxes, TARGETS, ALLOWED
    )
    wanted = ATSSAssigner().assign_priors(PRIORS, TARGETS, ALLOWED)
    assert found.target_index.tolist() == wanted.target_index.tolist()
    assert found.is_positive.any()


def test_a_prior_that_is_certain_is_positive() -> None:
    """Where all predict the same box, the score decides."""
    boxes = TARGETS.boxes[:1].expand(len(PRIORS), 4)
    scores = torch.full((len(PRIORS), 2), 0.1)
    middle = 2 * 8 + 2  # at (16, 16), inside of the first target
    scores[middle, 1] = 0.9
    found = PredictedATSSAssigner(iou_weight=0.5).assign(
        PRIORS, scores, boxes, TARGETS[:1], ALLOWED
    )
    assert found.is_positive.nonzero().tolist() == [[middle]]
    assert found.iou[middle].item() == pytest.approx(0.9**0.5)


def test_nothing_to_find() -> None:
    allowed = ALLOWED.clone()
    allowed[0] = False
    scores = torch.rand(len(PRIORS), 2)
    found = PredictedATSSAssigner().assign(PRIORS, scores, PRIORS.boxes, TARGETS[:0], allowed)
    assert found.target_index[:2].tolist() == [IGNORED, BACKGROUND]
