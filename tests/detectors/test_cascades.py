"""Detectors in stages, and two-stage detectors that differ from Mask R-CNN in one part."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
import torch
from torch import nn

from detzoo.backbones.resnet import ResNetConfig
from detzoo.detectors.base import Detector, DetectorConfig
from detzoo.heads.roi.all_levels import AllLevelsPoolingConfig
from detzoo.heads.roi.mask_head import MaskHeadConfig
from detzoo.heads.roi.semantic_head import SemanticHeadConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.necks.fpn_carafe import FPNCARAFEConfig
from detzoo.necks.rfp import RFPConfig
from detzoo.structures import ImageBatch, RoIMasks, Targets
from detzoo.zoo.cascade_rcnn import cascade_mask_rcnn, cascade_rcnn
from detzoo.zoo.dynamic_rcnn import DYNAMIC_RCNN
from detzoo.zoo.fast_rcnn import fast_rcnn
from detzoo.zoo.htc import htc, htc_without_semantic
from detzoo.zoo.mask_rcnn import mask_rcnn
from detzoo.zoo.parts import resnet
from detzoo.zoo.seesaw_loss import seesaw_cascade_mask_rcnn, seesaw_mask_rcnn
from tests.detectors import models
from tests.detectors.test_edge_cases import TARGETS, assert_every_parameter_learns

NORMALIZED_MASKS = MaskHeadConfig(normalized_predictor=True)
BOTTLENECKS = ResNetConfig(depth=50, base_channels=8)
RECURSIVE = RFPConfig(backbone=BOTTLENECKS, fpn=FPNConfig(out_channels=16), feedback_channels=4)


def small(config: DetectorConfig) -> DetectorConfig:
    return dataclasses.replace(models.narrow(config), backbone=models.BACKBONE)


def small_htc() -> DetectorConfig:
    config = small(htc().model)
    semantic = SemanticHeadConfig(num_classes=7, num_convs=1, channels=16)
    roi_head = dataclasses.replace(config.roi_head, semantic_head=semantic)
    return dataclasses.replace(config, roi_head=roi_head)


MODELS: dict[str, DetectorConfig] = {
    "cascade": small(cascade_rcnn().model),
    "cascade masks": small(cascade_mask_rcnn().model),
    "htc": small_htc(),
    "htc without maps": small(htc_without_semantic().model),
    "fast": small(fast_rcnn().model),
    "dynamic": small(DYNAMIC_RCNN),
    "seesaw": small(seesaw_mask_rcnn(resnet(50), mask_head=NORMALIZED_MASKS).model),
    "seesaw cascade": small(seesaw_cascade_mask_rcnn(resnet(50)).model),
    "carafe": small(
        mask_rcnn(
            neck=FPNCARAFEConfig(out_channels=16), mask_head=MaskHeadConfig(upsampling="carafe")
        ).model
    ),
    "groie": small(mask_rcnn(extractor=AllLevelsPoolingConfig(output_size=7)).model),
    "detectors": dataclasses.replace(
        models.narrow(cascade_rcnn().model),
        backbone=dataclasses.replace(BOTTLENECKS, returns_image=True),
        neck=RECURSIVE,
    ),
}


def build(name: str) -> Detector:
    torch.manual_seed(0)
    model = MODELS[name].build(models.CLASSES)
    # A fresh residual block is its shortcut alone, and gives its other parts no gradient.
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    return model.train()


def images(count: int = 2) -> ImageBatch:
    """With proposals, for those that look at them."""
    low = 60 * torch.rand((count, 20, 2), generator=torch.Generator().manual_seed(0))
    boxes = torch.cat([low, low + 30], 2)
    return dataclasses.replace(models.images(count), proposals=tuple(boxes))


def with_maps(targets: Sequence[Targets]) -> list[Targets]:
    """With semantic maps at an eighth of the size; part of each is not labeled."""
    height, width = models.SIZE
    classes = torch.randint(0, 7, (height // 8, width // 8)).to(torch.uint8)
    classes[:2] = 255
    return [dataclasses.replace(target, semantic_map=classes) for target in targets]


@pytest.mark.parametrize("case", TARGETS)
@pytest.mark.parametrize("name", MODELS)
def test_training(name: str, case: str) -> None:
    model = build(name)
    assert_every_parameter_learns(model, model(images(), with_maps(TARGETS[case])))


@pytest.mark.parametrize("name", MODELS)
def test_inference(name: str) -> None:
    """Also with heads that were never trained."""
    model = build(name).eval()
    batch = images(3)
    with torch.inference_mode():
        found = model(batch)
    for detections, info in zip(found, batch.infos):
        assert (detections.scores.diff() <= 0).all()
        assert ((detections.labels >= 0) & (detections.labels < models.CLASSES)).all()
        low, high = detections.boxes[:, :2], detections.boxes[:, 2:]
        assert (low >= 0).all()
        assert (high <= torch.tensor([info.size[1], info.size[0]])).all()
        assert (detections.masks is not None) is model.config.predicts_masks


def test_nothing_found() -> None:
    model = build("htc").eval()
    for head in model.roi_head.bbox_head:
        head.fc_cls.bias.data[-1] = 20.0  # background
    with torch.no_grad():
        for detections in model(images()):
            assert len(detections) == 0
            assert isinstance(detections.masks, RoIMasks)
            assert len(detections.masks) == 0


@pytest.mark.parametrize("name", MODELS)
def test_autocast(name: str) -> None:
    """Losses and detections are float32 where the rest runs in bfloat16."""
    model = build(name)
    with torch.autocast("cpu", torch.bfloat16):
        losses = model(images(), with_maps(TARGETS["one image without objects"]))
    assert all(value.dtype == torch.float32 for value in losses.values())
    assert_every_parameter_learns(model, losses)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for detections in model.eval()(images()):
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


@pytest.mark.parametrize(
    ("name", "proposals", "maps"),
    [("cascade", False, False), ("fast", True, False), ("htc", False, True)],
)
def test_what_is_needed_beside_images(name: str, proposals: bool, maps: bool) -> None:
    config = MODELS[name]
    assert (config.needs_proposals, config.needs_semantic_maps) == (proposals, maps)
