"""Deformable DETR."""

from __future__ import annotations

import dataclasses

from detzoo.data.transforms import Pad, Resize
from detzoo.detectors.set_prediction import SetPredictionConfig
from detzoo.experiment import DataConfig, Experiment
from detzoo.heads.query.deformable_detr import DeformableDETRHeadConfig
from detzoo.necks.channel_mapper import ChannelMapperConfig
from detzoo.optim.optimizers import AdamWConfig, ParameterRule
from detzoo.optim.schedules import epochs
from detzoo.zoo import classes
from detzoo.zoo.detr import SLOW_BACKBONE, detr_transforms
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import FROZEN, FULL, resnet


def deformable_detr(*, refines_boxes: bool = False, two_stage: bool = False) -> Experiment:
    """Deformable DETR on three maps of ResNet-50 and an additional one."""
    backbone = dataclasses.replace(resnet(50), norm=FROZEN, out_stages=(1, 2, 3))
    head = DeformableDETRHeadConfig(refines_boxes=refines_boxes, two_stage=two_stage)
    rules = (
        SLOW_BACKBONE,
        ParameterRule(name="sampling_offsets", lr_scale=0.1),
        ParameterRule(name="reference_points", lr_scale=0.1),
    )
    return Experiment(
        model=SetPredictionConfig(backbone=backbone, neck=ChannelMapperConfig(), bbox_head=head),
        class_names=classes.COCO,
        data=DataConfig(
            # No COCO image has an aspect ratio of seven, so only the shorter side matters.
            train_transforms=detr_transforms(4200),
            test_transforms=(Resize(sizes=FULL), Pad(divisor=1)),
            skip_empty=False,
        ),
        optimizer=AdamWConfig(lr=2e-4, weight_decay=1e-4, rules=rules),
        schedule=epochs(50, milestones=(40,), warmup=None),
        reference_batch=32,
        max_gradient_norm=0.1,
    )


ENTRIES = (
    Entry(
        "deformable_detr_r50_16x2_50e_coco",
        deformable_detr(),
        box_ap=44.5,
        weights="deformable_detr_r50_16x2_50e_coco_20210419_220030-a12b9512.pth",
    ),
    Entry(
        "deformable_detr_refine_r50_16x2_50e_coco",
        deformable_detr(refines_boxes=True),
        box_ap=46.1,
        weights="deformable_detr_refine_r50_16x2_50e_coco_20210419_220503-5f5dff21.pth",
    ),
    Entry(
        "deformable_detr_twostage_refine_r50_16x2_50e_coco",
        deformable_detr(refines_boxes=True, two_stage=True),
        box_ap=46.8,
        weights="deformable_detr_twostage_refine_r50_16x2_50e_coco_20210419_220613-9d28ab72.pth",
    ),
)

FAMILY = Family(
    folder="deformable_detr",
    title="Deformable DETR",
    paper="https://arxiv.org/abs/2010.04159",
    entries=ENTRIES,
)
