"""Detectors that predict their anchors, rate or refine masks, or find boxes side by side."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from detzoo.detectors.base import Detector, DetectorConfig
from detzoo.heads.roi.grid_head import GridHeadConfig
from detzoo.layers.norm import GroupNormConfig
from detzoo.necks.nas_fpn import NASFPNConfig
from detzoo.structures import RoIMasks
from detzoo.zoo.grid_rcnn import grid_rcnn
from detzoo.zoo.guided_anchoring import ga_faster_rcnn, ga_retinanet, ga_rpn
from detzoo.zoo.libra_rcnn import libra_faster_rcnn, libra_retinanet
from detzoo.zoo.ms_rcnn import ms_rcnn
from detzoo.zoo.nas_fpn import retinanet_crop640
from detzoo.zoo.parts import resnet
from detzoo.zoo.point_rend import point_rend
from detzoo.zoo.sabl import sabl_cascade_rcnn, sabl_faster_rcnn, sabl_retinanet
from tests.detectors import models
from tests.detectors.test_edge_cases import TARGETS, assert_every_parameter_learns


def small(config: DetectorConfig) -> DetectorConfig:
    return dataclasses.replace(models.narrow(config), backbone=models.BACKBONE)


def small_grid_rcnn() -> DetectorConfig:
    config = small(grid_rcnn().model)
    grid_head = GridHeadConfig(num_convs=1, point_channels=4, norm=GroupNormConfig(groups=9))
    roi_head = dataclasses.replace(config.roi_head, grid_head=grid_head, max_regions=3)
    return dataclasses.replace(config, roi_head=roi_head)


MODELS: dict[str, DetectorConfig] = {
    "mask scoring": small(ms_rcnn().model),
    "grid": small_grid_rcnn(),
    "point_rend": small(point_rend(resnet(50)).model),
    "sabl": small(sabl_faster_rcnn().model),
    "sabl cascade": small(sabl_cascade_rcnn().model),
    "sabl retinanet": small(sabl_retinanet(norm=GroupNormConfig(groups=4)).model),
    "libra": small(libra_faster_rcnn().model),
    "libra retinanet": small(libra_retinanet().model),
    "guided rpn": small(ga_rpn().model),
    "guided": small(ga_faster_rcnn().model),
    "guided retinanet": small(ga_retinanet().model),
    "nas_fpn": small(
        retinanet_crop640(NASFPNConfig(num_stages=1, out_channels=16), divisor=128).model
    ),
}


def build(name: str) -> Detector:
    torch.manual_seed(0)
    model = MODELS[name].build(models.CLASSES)
    # A fresh residual block is its shortcut alone, and gives its other parts no gradient.
    for module in model.backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    return model.train()


@pytest.mark.parametrize("case", TARGETS)
@pytest.mark.parametrize("name", MODELS)
def test_training(name: str, case: str) -> None:
    model = build(name)
    assert_every_parameter_learns(model, model(models.images(), TARGETS[case]))


@pytest.mark.parametrize("name", MODELS)
def test_inference(name: str) -> None:
    """Also with heads that were never trained."""
    model = build(name).eval()
    images = models.images(3)
    with torch.inference_mode():
        found = model(images)
    for detections, info in zip(found, images.infos):
        assert (detections.scores.diff() <= 0).all()
        assert ((detections.labels >= 0) & (detections.labels < models.CLASSES)).all()
        original = detections.to_original(info)
        assert original.boxes.isfinite().all()
        assert (original.boxes[:, :2] >= 0).all()
        assert (original.boxes[:, 2:] <= torch.tensor([info.size[1], info.size[0]])).all()
        assert (detections.masks is not None) is model.config.predicts_masks
        assert (detections.mask_scores is not None) is (name == "mask scoring")


@pytest.mark.parametrize("name", ["mask scoring", "point_rend"])
def test_masks_of_nothing(name: str) -> None:
    model = build(name).eval()
    model.roi_head.bbox_head.fc_cls.bias.data[-1] = 20.0  # background
    with torch.no_grad():
        for detections in model(models.images()):
            assert len(detections) == 0
            assert isinstance(detections.masks, RoIMasks)
            assert len(detections.masks) == 0


def test_grids_of_nothing() -> None:
    model = build("grid").eval()
    model.roi_head.bbox_head.fc_cls.bias.data[-1] = 20.0
    with torch.no_grad():
        assert [len(detections) for detections in model(models.images())] == [0, 0]


@pytest.mark.parametrize("name", MODELS)
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


@pytest.mark.parametrize("name", MODELS)
def test_the_declared_parameters_are_those_that_depend_on_the_classes(name: str) -> None:
    with torch.device("meta"):
        two, five = (MODELS[name].build(n) for n in (2, 5))
    own, other = two.state_dict(), five.state_dict()
    changed = {key for key in own if own[key].shape != other[key].shape}
    declared = two.class_parameters()
    assert set(declared) == changed
    for key, layout in declared.items():
        assert layout.shape(tuple(own[key].shape), 5) == other[key].shape
