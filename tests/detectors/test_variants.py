"""The shapes that detectors of the zoo come in."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from detzoo.backbones.mobilenet_v2 import MobileNetV2Config
from detzoo.detectors.base import DetectorConfig
from detzoo.detectors.two_stage import TwoStage
from detzoo.experiment import Experiment
from detzoo.layers.norm import BatchNormConfig
from detzoo.zoo.faster_rcnn import faster_rcnn, faster_rcnn_c4, faster_rcnn_dc5
from detzoo.zoo.mask_rcnn import mask_rcnn_c4
from detzoo.zoo.parts import caffe2_resnext_32x8d, caffe_resnet, resnet
from detzoo.zoo.retinanet import retinanet
from detzoo.zoo.rpn import SINGLE_LEVEL_ANCHORS, c4, rpn
from tests.detectors import models
from tests.detectors.test_edge_cases import assert_every_parameter_learns

VARIANTS: dict[str, Experiment] = {
    "ResNet-18": retinanet(resnet(18)),
    "ResNet-34": retinanet(resnet(34)),
    "ResNet-152": retinanet(resnet(152)),
    "caffe": faster_rcnn(caffe_resnet(50)),
    "ResNeXt": faster_rcnn(caffe2_resnext_32x8d()),
    "RPN on C4": rpn(c4(caffe_resnet(50)), neck=None, anchors=SINGLE_LEVEL_ANCHORS),
    "Faster R-CNN C4": faster_rcnn_c4(),
    "Faster R-CNN DC5": faster_rcnn_dc5(),
    "Mask R-CNN C4": mask_rcnn_c4(),
}
MOBILENET = MobileNetV2Config(norm=BatchNormConfig(fixed_statistics=True))


def assert_trains_and_detects(config: DetectorConfig) -> None:
    torch.manual_seed(0)
    model = config.build(models.CLASSES).train()
    images = models.images()
    given = [models.targets((10, 10, 60, 70), (50, 20, 90, 60)), models.targets((5, 5, 40, 50))]
    assert_every_parameter_learns(model, model(images, given))
    with torch.no_grad():
        assert len(model.eval()(images)) == 2


@pytest.mark.parametrize("name", VARIANTS)
def test_variant(name: str) -> None:
    assert_trains_and_detects(models.narrow(VARIANTS[name].model))


@pytest.mark.parametrize("name", ["retinanet", "rpn", "faster_rcnn", "mask_rcnn"])
def test_mobilenet(name: str) -> None:
    assert_trains_and_detects(dataclasses.replace(models.MODELS[name], backbone=MOBILENET))


def test_c4_starts_every_stage_from_the_pretrained_weights() -> None:
    config = models.narrow(faster_rcnn_c4().model)
    model = config.build(models.CLASSES)
    assert isinstance(model, TwoStage)
    names = {name for part in model.pretrained_modules() for name in part.state_dict()}
    whole = models.narrow(caffe_resnet(50)).build()
    assert names == set(whole.state_dict())
    assert model.feature_strides == (16,)


def test_dc5_has_the_resolution_of_c4() -> None:
    model = models.narrow(faster_rcnn_dc5().model).build(models.CLASSES)
    assert model.feature_strides == (16,)
    (feature,) = model.extract_features(torch.randn(1, 3, 64, 64))
    assert feature.shape[2:] == (4, 4)
