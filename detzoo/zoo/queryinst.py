"""QueryInst."""

from __future__ import annotations

import dataclasses

from detzoo.backbones.resnet import ResNetConfig
from detzoo.detectors.sparse import SparseConfig
from detzoo.experiment import Experiment
from detzoo.heads.query.learned_proposals import LearnedProposalsConfig
from detzoo.heads.query.sparse_roi import SparseRoIHeadConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.optimizers import AdamWConfig
from detzoo.optim.schedules import Schedule, Warmup, epochs
from detzoo.zoo.detr import SLOW_BACKBONE, detr_transforms
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import FULL, experiment, resnet

ELEVEN_SIZES = tuple((1333, short) for short in range(480, 801, 32))
WARMUP = Warmup(iterations=1000)
EPOCHS_36 = epochs(36, milestones=(27, 33), warmup=WARMUP)


def queryinst(
    backbone: ResNetConfig = resnet(50),
    *,
    num_proposals: int = 100,
    sizes: tuple[tuple[int, int], ...] = ELEVEN_SIZES,
    schedule: Schedule = EPOCHS_36,
) -> Experiment:
    """QueryInst with FPN levels P2-P5 and six stages; as many detections as proposals."""
    model = SparseConfig(
        backbone=backbone,
        neck=FPNConfig(num_outputs=4, extra_levels="on_input"),
        rpn_head=LearnedProposalsConfig(num_proposals=num_proposals),
        roi_head=SparseRoIHeadConfig(max_detections=num_proposals),
    )
    return experiment(
        model,
        sizes=sizes,
        masks="bitmap",
        optimizer=AdamWConfig(lr=1e-4, weight_decay=1e-4, rules=(SLOW_BACKBONE,)),
        schedule=schedule,
        max_gradient_norm=0.1,
    )


def queryinst_with_crops(backbone: ResNetConfig = resnet(50)) -> Experiment:
    """QueryInst with 300 proposals and DETR's transforms."""
    base = queryinst(backbone, num_proposals=300)
    data = dataclasses.replace(base.data, train_transforms=detr_transforms(1333, divisor=32))
    return dataclasses.replace(base, data=data)


ENTRIES = (
    Entry(
        "queryinst_r101_fpn_300_proposals_crop_mstrain_480-800_3x_coco",
        queryinst_with_crops(resnet(101)),
        box_ap=49.0,
        mask_ap=42.9,
        weights="queryinst_r101_fpn_300_proposals_crop_mstrain_480-800_3x_coco_20210904_153621-76cce59f.pth",
    ),
    Entry(
        "queryinst_r101_fpn_mstrain_480-800_3x_coco",
        queryinst(resnet(101)),
        box_ap=46.4,
        mask_ap=41.0,
        weights="queryinst_r101_fpn_mstrain_480-800_3x_coco_20210904_104048-91f9995b.pth",
    ),
    Entry(
        "queryinst_r50_fpn_1x_coco",
        queryinst(sizes=FULL, schedule=epochs(12, warmup=WARMUP)),
        box_ap=42.0,
        mask_ap=37.5,
        weights="queryinst_r50_fpn_1x_coco_20210907_084916-5a8f1998.pth",
    ),
    Entry(
        "queryinst_r50_fpn_300_proposals_crop_mstrain_480-800_3x_coco",
        queryinst_with_crops(),
        box_ap=47.5,
        mask_ap=41.7,
        weights="queryinst_r50_fpn_300_proposals_crop_mstrain_480-800_3x_coco_20210904_101802-85cffbd8.pth",
    ),
    Entry(
        "queryinst_r50_fpn_mstrain_480-800_3x_coco",
        queryinst(),
        box_ap=44.8,
        mask_ap=39.8,
        weights="queryinst_r50_fpn_mstrain_480-800_3x_coco_20210901_103643-7837af86.pth",
    ),
)

FAMILY = Family(
    folder="queryinst",
    title="QueryInst",
    paper="https://arxiv.org/abs/2105.01928",
    entries=ENTRIES,
)
