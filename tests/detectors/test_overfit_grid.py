"""SSD, YOLO and the detectors of keypoints learn two pictures by heart."""

from __future__ import annotations

import pytest
import torch

from tests.detectors import grid_models, models
from tests.detectors.by_heart import assert_learned_by_heart
from tests.detectors.test_edge_cases import TARGETS
from tests.detectors.test_overfit import scenes
from tests.marks import ON_CI


def test_the_final_epochs_of_yolox_add_a_loss() -> None:
    torch.manual_seed(0)
    model = grid_models.detector("yolox").build(models.CLASSES).train()
    given = TARGETS["ordinary"]
    assert set(model(models.images(), given)) == {"loss_cls", "loss_bbox", "loss_obj"}
    model.enter_final_epochs()
    assert "loss_l1" in model(models.images(), given)


# Steps and rates of Adam.
STEPS = {"yolov3": 160, "yolox": 200, "centernet": 240}
RATES = {"yolox": 5e-3}


LEARNERS = [
    "yolov3",
    "centernet",
    pytest.param("ssd", marks=ON_CI),
    pytest.param("yolox", marks=ON_CI),
    pytest.param("cornernet", marks=pytest.mark.slow),
    pytest.param("centripetalnet", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("name", LEARNERS)
def test_two_pictures_are_learned_by_heart(name: str) -> None:
    torch.manual_seed(0)
    model = grid_models.detector(name, base_channels=16).build(models.CLASSES)
    assert_learned_by_heart(
        model,
        *scenes(),
        steps=STEPS.get(name, 130),
        lr=RATES.get(name, 2e-3),
        min_iou=0.7,
        min_score=0.3,
    )
