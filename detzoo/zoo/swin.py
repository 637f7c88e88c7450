"""Swin Transformers."""

from __future__ import annotations

import dataclasses
from typing import Literal

from detzoo.backbones.swin import SwinConfig
from detzoo.experiment import Experiment
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.optimizers import AdamWConfig, ParameterRule
from detzoo.optim.schedules import Warmup, epochs
from detzoo.zoo.detr import with_crops
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.mask_rcnn import mask_rcnn
from detzoo.zoo.retinanet import retinanet

TINY = SwinConfig(
    stochastic_depth=0.2,
    pretrained="https://github.com/SwinTransformer/storage/releases/download/v1.0.0/{architecture}.pth",
)
SMALL = dataclasses.replace(TINY, blocks=(2, 2, 18, 2))

WITHOUT_DECAY = ("absolute_pos_embed", "relative_position_bias_table", "norm")
ADAMW = AdamWConfig(
    lr=1e-4,
    weight_decay=0.05,
    rules=tuple(ParameterRule(name=name, weight_decay_scale=0.0) for name in WITHOUT_DECAY),
)
WARMUP = Warmup(iterations=1000, ratio=0.001)


SCHEDULE_3X = epochs(36, milestones=(27, 33), warmup=WARMUP)


def mask_rcnn_with_crops(
    backbone: SwinConfig, precision: Literal["fp32", "fp16"] = "fp32"
) -> Experiment:
    """Mask R-CNN with the transforms of DETR, 36 epochs."""
    return with_crops(
        mask_rcnn(backbone, optimizer=ADAMW, schedule=SCHEDULE_3X, precision=precision)
    )


def swin_retinanet() -> Experiment:
    """RetinaNet on the last three maps only, so that there are no unused norms."""
    base = retinanet(dataclasses.replace(TINY, out_stages=(1, 2, 3)))
    model = dataclasses.replace(base.model, neck=FPNConfig(extra_levels="on_input"))
    return dataclasses.replace(base, model=model)


ENTRIES = (
    Entry(
        "mask_rcnn_swin-s-p4-w7_fpn_fp16_ms-crop-3x_coco",
        mask_rcnn_with_crops(SMALL, precision="fp16"),
        box_ap=48.2,
        mask_ap=43.2,
        memory_gb=11.9,
        weights="mask_rcnn_swin-s-p4-w7_fpn_fp16_ms-crop-3x_coco_20210903_104808-b92c91f1.pth",
    ),
    Entry(
        "mask_rcnn_swin-t-p4-w7_fpn_1x_coco",
        mask_rcnn(TINY, optimizer=ADAMW, schedule=epochs(12, warmup=WARMUP)),
        box_ap=42.7,
        mask_ap=39.3,
        memory_gb=7.6,
        weights="mask_rcnn_swin-t-p4-w7_fpn_1x_coco_20210902_120937-9d6b7cfa.pth",
    ),
    Entry(
        "mask_rcnn_swin-t-p4-w7_fpn_fp16_ms-crop-3x_coco",
        mask_rcnn_with_crops(TINY, precision="fp16"),
        box_ap=46.0,
        mask_ap=41.7,
        memory_gb=7.8,
        weights="mask_rcnn_swin-t-p4-w7_fpn_fp16_ms-crop-3x_coco_20210908_165006-90a4008c.pth",
    ),
    Entry(
        "mask_rcnn_swin-t-p4-w7_fpn_ms-crop-3x_coco",
        mask_rcnn_with_crops(TINY),
        box_ap=46.0,
        mask_ap=41.6,
        memory_gb=10.2,
        weights="mask_rcnn_swin-t-p4-w7_fpn_ms-crop-3x_coco_20210906_131725-bacf6f7b.pth",
    ),
    Entry(
        "retinanet_swin-t-p4-w7_fpn_1x_coco",
        swin_retinanet(),
    ),
)

FAMILY = Family(
    folder="swin",
    title="Swin Transformers",
    paper="https://arxiv.org/abs/2103.14030",
    entries=ENTRIES,
)
