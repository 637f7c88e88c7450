"""TOOD."""

from __future__ import annotations

import dataclasses

from typing_extensions import Unpack

from detzoo.backbones.base import BackboneConfig
from detzoo.backbones.resnet import ResNetConfig
from detzoo.coders.delta import DeltaCoder
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.dense.tood import TOODHeadConfig
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


def tood(
    backbone: BackboneConfig = resnet(50),
    *,
    head: TOODHeadConfig = TOODHeadConfig(),
    **recipe: Unpack[Recipe],
) -> Experiment:
    """TOOD with levels P3-P7."""
    model = SingleStageConfig(
        backbone=backbone,
        neck=FPNConfig(start_level=1, extra_levels="on_output"),
        bbox_head=head,
    )
    recipe.setdefault("optimizer", SGDConfig(lr=0.01))
    return experiment(model, **recipe)


def deformable_tood(backbone: ResNetConfig, stages: tuple[int, ...]) -> Experiment:
    """TOOD with modulated deformable convolutions in ``stages``, counted from 0, and at the start
    of the tower.
    """
    deformable = dataclasses.replace(
        backbone, deformable=DeformConvConfig(modulated=True), deformable_stages=stages
    )
    return tood(deformable, head=TOODHeadConfig(deformable_convs=2), **RANGE_2X)


ENTRIES = (
    Entry(
        "tood_r101_fpn_dconv_c3-c5_mstrain_2x_coco",
        deformable_tood(resnet(101), (1, 2, 3)),
        box_ap=49.3,
        memory_gb=6.2,
        weights="tood_r101_fpn_dconv_c3-c5_mstrain_2x_coco_20211210_213728-4a824142.pth",
    ),
    Entry(
        "tood_r101_fpn_mstrain_2x_coco",
        tood(resnet(101), **RANGE_2X),
        box_ap=46.1,
        memory_gb=6.0,
        weights="tood_r101_fpn_mstrain_2x_coco_20211210_144232-a18f53c8.pth",
    ),
    Entry(
        "tood_r50_fpn_1x_coco",
        tood(),
        box_ap=42.4,
        memory_gb=4.1,
        weights="tood_r50_fpn_1x_coco_20211210_103425-20e20746.pth",
    ),
    Entry(
        "tood_r50_fpn_anchor_based_1x_coco",
        tood(head=TOODHeadConfig(coder=DeltaCoder(stds=(0.1, 0.1, 0.2, 0.2)))),
        box_ap=42.4,
        memory_gb=4.1,
        weights="tood_r50_fpn_anchor_based_1x_coco_20211214_100105-b776c134.pth",
    ),
    Entry(
        "tood_r50_fpn_mstrain_2x_coco",
        tood(**RANGE_2X),
        box_ap=44.5,
        memory_gb=4.1,
        weights="tood_r50_fpn_mstrain_2x_coco_20211210_144231-3b23174c.pth",
    ),
    Entry(
        "tood_x101_64x4d_fpn_dconv_c4-c5_mstrain_2x_coco",
        deformable_tood(resnext(64, 4), (2, 3)),
    ),
    Entry(
        "tood_x101_64x4d_fpn_mstrain_2x_coco",
        tood(resnext(64, 4), **RANGE_2X),
        box_ap=47.6,
        memory_gb=10.2,
        weights="tood_x101_64x4d_fpn_mstrain_2x_coco_20211211_003519-a4f36113.pth",
    ),
)

FAMILY = Family(
    folder="tood",
    title="TOOD",
    paper="https://arxiv.org/abs/2108.07755",
    entries=ENTRIES,
)
