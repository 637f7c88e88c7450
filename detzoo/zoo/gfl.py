"""Generalized focal loss."""

from __future__ import annotations

import dataclasses

from typing_extensions import Unpack

from detzoo.backbones.resnet import ResNetConfig
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.dense.gfl import GFLHeadConfig
from detzoo.layers.convolution import DeformConvConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.optimizers import SGDConfig
from detzoo.optim.schedules import epochs
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import Recipe, experiment, resnet, resnext

# Any size between the two, for twice as long.
RANGE_2X: Recipe = {
    "sizes": ((1333, 480), (1333, 800)),
    "size_mode": "range",
    "schedule": epochs(24),
}


def gfl(backbone: ResNetConfig = resnet(50), **recipe: Unpack[Recipe]) -> Experiment:
    """GFL with levels P3-P7 and one anchor per cell."""
    model = SingleStageConfig(
        backbone=backbone,
        neck=FPNConfig(start_level=1, extra_levels="on_output"),
        bbox_head=GFLHeadConfig(),
    )
    recipe.setdefault("optimizer", SGDConfig(lr=0.01))
    return experiment(model, **recipe)


def deformable(backbone: ResNetConfig, stages: tuple[int, ...]) -> ResNetConfig:
    """The backbone with deformable convolutions in these stages, counted from 0."""
    return dataclasses.replace(backbone, deformable=DeformConvConfig(), deformable_stages=stages)


ENTRIES = (
    Entry(
        "gfl_r101_fpn_dconv_c3-c5_mstrain_2x_coco",
        gfl(deformable(resnet(101), (1, 2, 3)), **RANGE_2X),
        box_ap=47.1,
        inference_ms=77.52,
        weights="gfl_r101_fpn_dconv_c3-c5_mstrain_2x_coco_20200630_102002-134b07df.pth",
    ),
    Entry(
        "gfl_r101_fpn_mstrain_2x_coco",
        gfl(resnet(101), **RANGE_2X),
        box_ap=44.7,
        inference_ms=68.03,
        weights="gfl_r101_fpn_mstrain_2x_coco_20200629_200126-dd12f847.pth",
    ),
    Entry(
        "gfl_r50_fpn_1x_coco",
        gfl(),
        box_ap=40.2,
        inference_ms=51.28,
        weights="gfl_r50_fpn_1x_coco_20200629_121244-25944287.pth",
    ),
    Entry(
        "gfl_r50_fpn_mstrain_2x_coco",
        gfl(**RANGE_2X),
        box_ap=42.9,
        inference_ms=51.28,
        weights="gfl_r50_fpn_mstrain_2x_coco_20200629_213802-37bb1edc.pth",
    ),
    Entry(
        "gfl_x101_32x4d_fpn_dconv_c4-c5_mstrain_2x_coco",
        gfl(deformable(resnext(32, 4), (2, 3)), **RANGE_2X),
        box_ap=48.1,
        inference_ms=93.46,
        weights="gfl_x101_32x4d_fpn_dconv_c4-c5_mstrain_2x_coco_20200630_102002-14a2bf25.pth",
    ),
    Entry(
        "gfl_x101_32x4d_fpn_mstrain_2x_coco",
        gfl(resnext(32, 4), **RANGE_2X),
        box_ap=45.9,
        inference_ms=82.64,
        weights="gfl_x101_32x4d_fpn_mstrain_2x_coco_20200630_102002-50c1ffdb.pth",
    ),
)

FAMILY = Family(
    folder="gfl",
    title="Generalized focal loss",
    paper="https://arxiv.org/abs/2006.04388",
    entries=ENTRIES,
)
