"""Localization distillation."""

from __future__ import annotations

import dataclasses

from typing_extensions import Unpack

from detzoo.detectors.distilled import DistilledConfig
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.dense.ld import LDHeadConfig
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.gfl import ENTRIES as GFL
from detzoo.zoo.gfl import RANGE_2X, gfl
from detzoo.zoo.parts import Depth, Recipe, resnet


def ld(depth: Depth, teacher: str, **recipe: Unpack[Recipe]) -> Experiment:
    """GFL that also learns from a larger one."""
    base = gfl(resnet(depth), **recipe)
    (taught_by,) = (entry.experiment.model for entry in GFL if entry.name == teacher)
    assert isinstance(taught_by, SingleStageConfig)
    model = DistilledConfig(
        backbone=base.model.backbone,
        neck=base.model.neck,
        bbox_head=LDHeadConfig(),
        teacher=taught_by,
        teacher_weights=teacher,
    )
    return dataclasses.replace(base, model=model)


ENTRIES = (
    Entry(
        "ld_r101_gflv1_r101dcn_fpn_coco_2x",
        ld(101, "gfl_r101_fpn_dconv_c3-c5_mstrain_2x_coco", **RANGE_2X),
        box_ap=45.5,
        memory_gb=5.5,
        weights="ld_r101_gflv1_r101dcn_fpn_coco_2x_20220629_185920-9e658426.pth",
    ),
    Entry(
        "ld_r18_gflv1_r101_fpn_coco_1x",
        ld(18, "gfl_r101_fpn_mstrain_2x_coco"),
        box_ap=36.5,
        memory_gb=1.8,
        weights="ld_r18_gflv1_r101_fpn_coco_1x_20220702_062206-330e6332.pth",
    ),
    Entry(
        "ld_r34_gflv1_r101_fpn_coco_1x",
        ld(34, "gfl_r101_fpn_mstrain_2x_coco"),
        box_ap=39.9,
        memory_gb=2.2,
        weights="ld_r34_gflv1_r101_fpn_coco_1x_20220630_134007-9bc69413.pth",
    ),
    Entry(
        "ld_r50_gflv1_r101_fpn_coco_1x",
        ld(50, "gfl_r101_fpn_mstrain_2x_coco"),
        box_ap=41.0,
        memory_gb=3.6,
        weights="ld_r50_gflv1_r101_fpn_coco_1x_20220629_145355-8dc5bad8.pth",
    ),
)

FAMILY = Family(
    folder="ld",
    title="Localization distillation",
    paper="https://arxiv.org/abs/2102.12252",
    entries=ENTRIES,
)
