"""Every family of one-stage dense heads: unusual ground truth, precision, learning by heart."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from detzoo import zoo
from detzoo.detectors.base import Detector
from detzoo.ops.boxes import pairwise_iou
from detzoo.structures import ImageBatch, ImageInfo
from tests.detectors import dense_models, models
from tests.detectors.test_edge_cases import TARGETS, assert_every_parameter_learns
from tests.detectors.test_overfit import scenes
from tests.detectors.waiting import Waiting
from tests.marks import ON_CI


def build(name: str) -> Detector:
    torch.manual_seed(0)
    model = dense_models.detector(name).build(models.CLASSES)
    for module in model.backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    return model.train()


@pytest.mark.parametrize("case", TARGETS)
@pytest.mark.parametrize("name", dense_models.NAMES)
def test_training(name: str, case: str) -> None:
    model = build(name)
    assert_every_parameter_learns(model, model(models.images(), TARGETS[case]))


@pytest.mark.parametrize("name", dense_models.NAMES)
def test_a_training_step_never_waits_for_the_device(name: str) -> None:
    assert_never_waits(build(name), models.images())


@pytest.mark.parametrize(
    "name",
    [
        "yolox_nano_8x8_300e_coco",
        "ssdlite_mobilenetv2_scratch_600e_coco",
        "yolov3_mobilenetv2_320_300e_coco",
        "centernet_resnet18_140e_coco",
        "retinanet_r50_fpn_1x_coco",
    ],
)
def test_nor_does_that_of_other_heads(name: str) -> None:
    model = zoo.find(name).experiment.model.build(models.CLASSES).train()
    pixels = torch.rand((2, 3, 320, 320))
    infos = tuple(
        dataclasses.replace(ImageInfo.of((320, 320), id=i), padded_size=(320, 320))
        for i in range(2)
    )
    assert_never_waits(model, ImageBatch(pixels, infos))


def assert_never_waits(model: Detector, images: ImageBatch) -> None:
    with Waiting() as waiting:
        losses = model(images, TARGETS["ordinary"])
        losses.total().backward()
    assert waiting.places == []


@pytest.mark.parametrize("name", dense_models.NAMES)
def test_inference(name: str) -> None:
    model = build(name).eval()
    images = models.images(3)
    with torch.inference_mode():
        found = model(images)
    assert len(found) == 3
    for detections, info in zip(found, images.infos):
        assert (detections.scores.diff() <= 0).all()
        assert ((detections.labels >= 0) & (detections.labels < models.CLASSES)).all()
        assert (detections.boxes[:, :2] >= 0).all()
        # PAA's votes are averages, and round.
        assert (detections.boxes[:, 2:] <= torch.tensor([info.size[1], info.size[0]]) + 1e-3).all()


@pytest.mark.parametrize("name", dense_models.NAMES)
def test_nothing_detected(name: str) -> None:
    model = build(name).eval()
    # Without weights, every class gets the score of its bias.
    for key in model.class_parameters():
        if key.endswith(".bias"):
            bias = model.get_parameter(key)
            nn.init.constant_(bias, -20.0)
            nn.init.zeros_(model.get_parameter(key.replace(".bias", ".weight")))
    with torch.no_grad():
        for detections in model(models.images()):
            assert len(detections) == 0
            assert detections.boxes.shape == (0, 4)


@pytest.mark.parametrize("name", dense_models.NAMES)
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


@pytest.mark.parametrize("name", dense_models.NAMES)
def test_rows_of_classes(name: str) -> None:
    """The named parameters, and no others, depend on the number of classes."""
    config = dense_models.detector(name)
    few, many = config.build(3), config.build(5)
    few_shapes = {key: value.shape for key, value in few.state_dict().items()}
    differing = {k for k, v in many.state_dict().items() if v.shape != few_shapes[k]}
    rows = few.class_parameters()
    assert set(rows) == differing
    for key, value in rows.items():
        assert value.count(3) == few_shapes[key][0]


# Those that learn by predictions of their own need more than 130 steps.
STEPS = {"foveabox-align": 160, "autoassign": 220, "yolof": 220, "free_anchor": 160, "ghm": 160}
RATES = {"gfl": 4e-3, "yolof": 4e-3}


# One with points and centerness, one with distributions, one with anchors that chooses its own
# samples. The steps of all others are tested above; that they learn takes a minute together.
BY_DEFAULT = ("fcos", "gfl", "free_anchor")


def marks(name: str) -> tuple[pytest.MarkDecorator, ...]:
    if name in BY_DEFAULT:
        return ()
    # Variants of a family take minutes together and seldom fail alone.
    return (pytest.mark.slow,) if "-" in name else ON_CI


BY_HEART = [pytest.param(name, marks=marks(name)) for name in dense_models.NAMES]


@pytest.mark.parametrize("name", BY_HEART)
def test_two_pictures_are_learned_by_heart(name: str) -> None:
    torch.manual_seed(0)
    config = dense_models.detector(name, base_channels=16, channels=32)
    if name == "yolof":  # on a map with cells that are not larger than the objects
        backbone = dataclasses.replace(config.backbone, out_stages=(2,))  # type: ignore[call-arg]
        config = dataclasses.replace(config, backbone=backbone)
    model = config.build(models.CLASSES)
    steps = STEPS.get(name, 130)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATES.get(name, 2e-3))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    images, targets = scenes()
    model.train()
    for _ in range(steps):
        losses = model(images, targets)
        optimizer.zero_grad()
        losses.total().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        found = model.eval()(images)
    for detections, target in zip(found, targets):
        best = detections[: len(target)]
        best = best[best.labels.argsort()]
        assert best.labels.tolist() == target.labels.tolist()
        assert (pairwise_iou(best.boxes, target.boxes).diag() > 0.8).all()
        assert (best.scores > 0.5).all()
