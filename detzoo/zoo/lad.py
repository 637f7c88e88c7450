"""Label assignment distillation."""

from __future__ import annotations

import dataclasses

from detzoo.detectors.distilled import DistilledConfig
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.dense.lad import LADHeadConfig
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.paa import paa
from detzoo.zoo.parts import Depth, resnet


def lad(depth: Depth, teacher_depth: Depth) -> Experiment:
    """PAA whose anchors are assigned by another one."""
    base = paa(
        resnet(depth),
        images_per_device=8,
        workers=4,
        reference_batch=64,
        precision="fp16",
        loss_scale=512.0,
    )
    neck, head = base.model.neck, LADHeadConfig()
    # Its weights are those of the whole teacher.
    backbone = dataclasses.replace(resnet(teacher_depth), pretrained=None)
    model = DistilledConfig(
        backbone=base.model.backbone,
        neck=neck,
        bbox_head=head,
        teacher=SingleStageConfig(backbone=backbone, neck=neck, bbox_head=head),
        teacher_weights=f"paa_r{teacher_depth}_fpn_1x_coco",
    )
    return dataclasses.replace(base, model=model)


ENTRIES = (
    Entry(
        "lad_r101_paa_r50_fpn_coco_1x",
        lad(101, teacher_depth=50),
        box_ap=43.2,
        memory_gb=12.4,
        weights="lad_r101_paa_r50_fpn_coco_1x_20220708_124357-9407ac54.pth",
    ),
    Entry(
        "lad_r50_paa_r101_fpn_coco_1x",
        lad(50, teacher_depth=101),
        box_ap=41.4,
        memory_gb=8.9,
        weights="lad_r50_paa_r101_fpn_coco_1x_20220708_124246-74c76ff0.pth",
    ),
)

FAMILY = Family(
    folder="lad",
    title="Label assignment distillation",
    paper="https://arxiv.org/abs/2108.10520",
    entries=ENTRIES,
)
