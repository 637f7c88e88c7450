from __future__ import annotations

import pytest

from detzoo import zoo
from detzoo.config import ConfigError
from detzoo.detectors.base import Detector
from detzoo.optim.layer_decay import LayerDecay
from detzoo.optim.optimizers import AdamWConfig
from tests.meta import on_meta


def model(name: str) -> Detector:
    with on_meta():
        return zoo.find(name).experiment.build_model()


def rates(optimizer: AdamWConfig, detector: Detector) -> dict[str, tuple[float, float]]:
    groups = optimizer.parameter_groups(detector)
    return {name: (g.lr, g.weight_decay) for g in groups for name in g.names}


# Layers below the heads, by hand: three blocks of the third stage are a layer.
TINY_LAYERS = {
    "backbone.downsample_layers.0.0.weight": 7,
    "backbone.stages.0.2.pointwise_conv1.weight": 6,
    "backbone.downsample_layers.1.1.weight": 5,
    "backbone.stages.1.0.depthwise_conv.weight": 5,
    "backbone.downsample_layers.2.1.weight": 4,
    "backbone.stages.2.2.pointwise_conv1.weight": 4,
    "backbone.stages.2.3.pointwise_conv1.weight": 3,
    "backbone.stages.2.8.pointwise_conv1.weight": 2,
    "backbone.downsample_layers.3.1.weight": 1,
    "backbone.stages.3.2.pointwise_conv2.weight": 1,
    "neck.lateral_convs.0.conv.weight": 0,
    "roi_head.bbox_head.fc_cls.weight": 0,
}


def test_the_rate_falls_layer_by_layer() -> None:
    detector = model("mask_rcnn_convnext-t_p4_w7_fpn_fp16_ms-crop_3x_coco")
    decay = LayerDecay(rate=0.7, num_layers=6)
    found = rates(AdamWConfig(lr=2.0, weight_decay=0.05, layer_decay=decay), detector)
    for name, layers in TINY_LAYERS.items():
        assert found[name] == (pytest.approx(2 * 0.7**layers), 0.05), name
    vectors = {name: p.ndim for name, p in detector.named_parameters() if p.ndim == 1}
    assert {found[name][1] for name in vectors} == {0.0}
    # Norms of the maps belong to what is behind the backbone.
    assert found["backbone.norm0.weight"] == (2.0, 0.0)
    assert found["backbone.stages.0.0.gamma"][0] == pytest.approx(2 * 0.7**6)


def test_the_rate_falls_stage_by_stage() -> None:
    detector = model("mask_rcnn_convnext-t_p4_w7_fpn_fp16_ms-crop_3x_coco")
    decay = LayerDecay(rate=0.5, num_layers=6, by="stage")
    found = rates(AdamWConfig(lr=1.0, layer_decay=decay), detector)
    stages = [found[f"backbone.stages.{stage}.0.depthwise_conv.weight"][0] for stage in range(4)]
    assert stages == [0.5**6, 0.5**5, 0.5**4, 0.5**3]
    assert found["backbone.downsample_layers.3.1.weight"][0] == 0.5**7
    assert found["rpn_head.rpn_conv.weight"][0] == 1.0


def test_other_backbones_have_no_layers_of_that_kind() -> None:
    optimizer = AdamWConfig(lr=1.0, layer_decay=LayerDecay(rate=0.5))
    with pytest.raises(ConfigError, match=r"optimizer\.layer_decay: .* the backbone is ResNet\."):
        optimizer.parameter_groups(model("retinanet_r50_fpn_1x_coco"))
