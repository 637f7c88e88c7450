"""FreeAnchor."""

from __future__ import annotations

from detzoo.backbones.resnet import ResNetConfig
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.dense.free_anchor import FreeAnchorHeadConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.optimizers import SGDConfig
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import experiment, resnet, resnext


def free_anchor(backbone: ResNetConfig = resnet(50)) -> Experiment:
    """RetinaNet with learned matching of targets and anchors."""
    model = SingleStageConfig(
        backbone=backbone,
        neck=FPNConfig(start_level=1, extra_levels="on_input"),
        bbox_head=FreeAnchorHeadConfig(),
    )
    return experiment(model, optimizer=SGDConfig(lr=0.01), max_gradient_norm=35.0)


ENTRIES = (
    Entry(
        "retinanet_free_anchor_r101_fpn_1x_coco",
        free_anchor(resnet(101)),
        box_ap=40.3,
        memory_gb=6.8,
        inference_ms=67.11,
        weights="retinanet_free_anchor_r101_fpn_1x_coco_20200130-358324e6.pth",
    ),
    Entry(
        "retinanet_free_anchor_r50_fpn_1x_coco",
        free_anchor(),
        box_ap=38.7,
        memory_gb=4.9,
        inference_ms=54.35,
        weights="retinanet_free_anchor_r50_fpn_1x_coco_20200130-0f67375f.pth",
    ),
    Entry(
        "retinanet_free_anchor_x101_32x4d_fpn_1x_coco",
        free_anchor(resnext(32, 4)),
        box_ap=41.9,
        memory_gb=8.1,
        inference_ms=90.09,
        weights="retinanet_free_anchor_x101_32x4d_fpn_1x_coco_20200130-d4846968.pth",
    ),
)

FAMILY = Family(
    folder="free_anchor",
    title="FreeAnchor",
    paper="https://arxiv.org/abs/1909.02466",
    entries=ENTRIES,
)
