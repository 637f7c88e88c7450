"""DDOD."""

from __future__ import annotations

from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.heads.dense.ddod import DDODHeadConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.optimizers import SGDConfig
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import experiment, resnet

MODEL = SingleStageConfig(
    backbone=resnet(50),
    neck=FPNConfig(start_level=1, extra_levels="on_output"),
    bbox_head=DDODHeadConfig(),
)

ENTRIES = (
    Entry(
        "ddod_r50_fpn_1x_coco",
        experiment(MODEL, optimizer=SGDConfig(lr=0.01)),
        box_ap=41.7,
        memory_gb=3.4,
        weights="ddod_r50_fpn_1x_coco_20220523_223737-29b2fc67.pth",
    ),
)

FAMILY = Family(
    folder="ddod",
    title="DDOD",
    paper="https://arxiv.org/abs/2107.02963",
    entries=ENTRIES,
)
