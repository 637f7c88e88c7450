"""ATSS."""

from __future__ import annotations

from detzoo.backbones.resnet import ResNetConfig
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.dense.atss import ATSSHeadConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.optimizers import SGDConfig
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import experiment, resnet


def atss(backbone: ResNetConfig = resnet(50)) -> Experiment:
    """ATSS with levels P3-P7 and one anchor per cell."""
    model = SingleStageConfig(
        backbone=backbone,
        neck=FPNConfig(start_level=1, extra_levels="on_output"),
        bbox_head=ATSSHeadConfig(),
    )
    return experiment(model, optimizer=SGDConfig(lr=0.01))


ENTRIES = (
    Entry(
        "atss_r101_fpn_1x_coco",
        atss(resnet(101)),
        box_ap=41.5,
        memory_gb=5.6,
        inference_ms=81.3,
        weights="atss_r101_fpn_1x_20200825-dfcadd6f.pth",
    ),
    Entry(
        "atss_r50_fpn_1x_coco",
        atss(),
        box_ap=39.4,
        memory_gb=3.7,
        inference_ms=50.76,
        weights="atss_r50_fpn_1x_coco_20200209-985f7bd0.pth",
    ),
)

FAMILY = Family(
    folder="atss",
    title="ATSS",
    paper="https://arxiv.org/abs/1912.02424",
    entries=ENTRIES,
)
