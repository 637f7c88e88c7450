"""SSD, YOLO and the detectors of keypoints learn two pictures by heart."""

from __future__ import annotations

import pytest
import torch

from detzoo.ops.boxes import pairwise_iou
from tests.detectors import grid_models, models
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
    steps = STEPS.get(name, 130)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATES.get(name, 2e-3))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    images, targets = scenes()
    model.train()
    for _ in range(steps):
        losses = model(images, targets)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        found = model.eval()(images)
    for detections, target in zip(found, targets):
        best = detections[: len(target)]
        best = best[best.labels.argsort()]
        assert best.labels.tolist() == target.labels.tolist()
        assert (pairwise_iou(best.boxes, target.boxes).diag() > 0.7).all()
        assert (best.scores > 0.3).all()
