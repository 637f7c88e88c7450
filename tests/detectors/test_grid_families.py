"""SSD, YOLO and the detectors of keypoints: unusual ground truth, precision, learning by heart."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from detzoo.detectors.base import Detector
from detzoo.ops.boxes import pairwise_iou
from tests.detectors import grid_models, models
from tests.detectors.test_edge_cases import TARGETS, assert_every_parameter_learns
from tests.detectors.test_overfit import scenes
from tests.marks import ON_CI


def build(name: str) -> Detector:
    torch.manual_seed(0)
    model = grid_models.detector(name).build(models.CLASSES)
    for module in model.backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    model.enter_final_epochs()
    return model.train()


@pytest.mark.parametrize("case", TARGETS)
@pytest.mark.parametrize("name", grid_models.PARTS)
def test_training(name: str, case: str) -> None:
    model = build(name)
    assert_every_parameter_learns(model, model(models.images(), TARGETS[case]))


@pytest.mark.parametrize("name", grid_models.PARTS)
def test_inference(name: str) -> None:
    model = build(name).eval()
    images = models.images(3)
    with torch.inference_mode():
        found = model(images)
    assert len(found) == 3
    for detections in found:
        assert (detections.scores.diff() <= 0).all()
        assert ((detections.labels >= 0) & (detections.labels < models.CLASSES)).all()
        assert detections.boxes.isfinite().all()


@pytest.mark.parametrize("name", grid_models.PARTS)
def test_autocast(name: str) -> None:
    """Losses and detections are float32 where the rest runs in bfloat16."""
    model = build(name)
    with torch.autocast("cpu", torch.bfloat16):
        losses = model(models.images(), TARGETS["one image without objects"])
    assert all(value.dtype == torch.float32 for value in losses.values())
    assert_every_parameter_learns(model, losses)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for detections in model.eval()(models.images()):
            assert detections.boxes.dtype == detections.scores.dtype == torch.float32


@pytest.mark.parametrize("name", grid_models.PARTS)
def test_rows_of_classes(name: str) -> None:
    """The named parameters, and no others, depend on the number of classes."""
    config = grid_models.detector(name)
    few, many = config.build(3), config.build(5)
    few_shapes = {key: value.shape for key, value in few.state_dict().items()}
    differing = {k for k, v in many.state_dict().items() if v.shape != few_shapes[k]}
    rows = few.class_parameters()
    assert set(rows) == differing
    for key, value in rows.items():
        assert value.count(3) == few_shapes[key][0]


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
