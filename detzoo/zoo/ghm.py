"""RetinaNet with the gradient harmonizing mechanism (GHM)."""

from __future__ import annotations

from detzoo.backbones.resnet import ResNetConfig
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.dense.harmonized_retina import HarmonizedRetinaHeadConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.optimizers import SGDConfig
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import experiment, resnet, resnext


def ghm(backbone: ResNetConfig = resnet(50)) -> Experiment:
    """RetinaNet trained with harmonized gradients."""
    model = SingleStageConfig(
        backbone=backbone,
        neck=FPNConfig(start_level=1, extra_levels="on_input"),
        bbox_head=HarmonizedRetinaHeadConfig(),
    )
    return experiment(model, optimizer=SGDConfig(lr=0.01), max_gradient_norm=35.0)


ENTRIES = (
    Entry(
        "retinanet_ghm_r101_fpn_1x_coco",
        ghm(resnet(101)),
        box_ap=39.1,
        memory_gb=6.0,
        inference_ms=227.27,
        weights="retinanet_ghm_r101_fpn_1x_coco_20200130-c148ee8f.pth",
    ),
    Entry(
        "retinanet_ghm_r50_fpn_1x_coco",
        ghm(),
        box_ap=37.0,
        memory_gb=4.0,
        inference_ms=303.03,
        weights="retinanet_ghm_r50_fpn_1x_coco_20200130-a437fda3.pth",
    ),
    Entry(
        "retinanet_ghm_x101_32x4d_fpn_1x_coco",
        ghm(resnext(32, 4)),
        box_ap=40.7,
        memory_gb=7.2,
        inference_ms=196.08,
        weights="retinanet_ghm_x101_32x4d_fpn_1x_coco_20200131-e4333bd0.pth",
    ),
    Entry(
        "retinanet_ghm_x101_64x4d_fpn_1x_coco",
        ghm(resnext(64, 4)),
        box_ap=41.4,
        memory_gb=10.3,
        inference_ms=192.31,
        weights="retinanet_ghm_x101_64x4d_fpn_1x_coco_20200131-dd381cef.pth",
    ),
)

FAMILY = Family(
    folder="ghm",
    title="Gradient harmonized RetinaNet",
    paper="https://arxiv.org/abs/1811.05181",
    entries=ENTRIES,
)
