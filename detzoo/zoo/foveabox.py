"""FoveaBox."""

from __future__ import annotations

from typing_extensions import Unpack

from detzoo.backbones.resnet import ResNetConfig
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.dense.fovea import FoveaHeadConfig
from detzoo.layers.norm import GroupNormConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.optimizers import SGDConfig
from detzoo.optim.schedules import epochs
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import RANGE_640_800, Recipe, experiment, resnet

ALIGNED = FoveaHeadConfig(aligned=True, norm=GroupNormConfig())


def foveabox(
    backbone: ResNetConfig = resnet(50),
    head: FoveaHeadConfig = FoveaHeadConfig(),
    **recipe: Unpack[Recipe],
) -> Experiment:
    """FoveaBox with levels P3-P7, four images per device."""
    model = SingleStageConfig(
        backbone=backbone,
        neck=FPNConfig(start_level=1, extra_levels="on_input"),
        bbox_head=head,
    )
    recipe.setdefault("optimizer", SGDConfig(lr=0.01))
    recipe.setdefault("images_per_device", 4)
    recipe.setdefault("workers", 4)
    return experiment(model, **recipe)


ENTRIES = (
    Entry(
        "fovea_align_r101_fpn_gn-head_4x4_2x_coco",
        foveabox(resnet(101), ALIGNED, schedule=epochs(24)),
        box_ap=40.0,
        memory_gb=11.7,
        inference_ms=68.03,
        weights="fovea_align_r101_fpn_gn-head_4x4_2x_coco_20200208-c39a027a.pth",
    ),
    Entry(
        "fovea_align_r101_fpn_gn-head_mstrain_640-800_4x4_2x_coco",
        foveabox(resnet(101), ALIGNED, schedule=epochs(24), sizes=RANGE_640_800),
        box_ap=42.0,
        memory_gb=11.7,
        inference_ms=68.03,
        weights="fovea_align_r101_fpn_gn-head_mstrain_640-800_4x4_2x_coco_20200208-649c5eb6.pth",
    ),
    Entry(
        "fovea_align_r50_fpn_gn-head_4x4_2x_coco",
        foveabox(head=ALIGNED, schedule=epochs(24), max_gradient_norm=35.0),
        box_ap=37.9,
        memory_gb=8.1,
        inference_ms=51.55,
        weights="fovea_align_r50_fpn_gn-head_4x4_2x_coco_20200203-8987880d.pth",
    ),
    Entry(
        "fovea_align_r50_fpn_gn-head_mstrain_640-800_4x4_2x_coco",
        foveabox(head=ALIGNED, schedule=epochs(24), sizes=RANGE_640_800),
        box_ap=40.4,
        memory_gb=8.1,
        inference_ms=54.64,
        weights="fovea_align_r50_fpn_gn-head_mstrain_640-800_4x4_2x_coco_20200205-85ce26cb.pth",
    ),
    Entry(
        "fovea_r101_fpn_4x4_1x_coco",
        foveabox(resnet(101)),
        box_ap=38.6,
        memory_gb=9.2,
        inference_ms=57.47,
        weights="fovea_r101_fpn_4x4_1x_coco_20200219-05e38f1c.pth",
    ),
    Entry(
        "fovea_r101_fpn_4x4_2x_coco",
        foveabox(resnet(101), schedule=epochs(24)),
        box_ap=40.0,
        memory_gb=11.7,
        weights="fovea_r101_fpn_4x4_2x_coco_20200208-02320ea4.pth",
    ),
    Entry(
        "fovea_r50_fpn_4x4_1x_coco",
        foveabox(),
        box_ap=36.5,
        memory_gb=5.6,
        inference_ms=41.49,
        weights="fovea_r50_fpn_4x4_1x_coco_20200219-ee4d5303.pth",
    ),
    Entry(
        "fovea_r50_fpn_4x4_2x_coco",
        foveabox(schedule=epochs(24)),
        box_ap=37.2,
        memory_gb=5.6,
        inference_ms=41.49,
        weights="fovea_r50_fpn_4x4_2x_coco_20200203-2df792b1.pth",
    ),
)

FAMILY = Family(
    folder="foveabox",
    title="FoveaBox",
    paper="https://arxiv.org/abs/1904.03797",
    entries=ENTRIES,
)
