"""Panoptic FPN."""

from __future__ import annotations

import dataclasses

from typing_extensions import Unpack

from detzoo.backbones.base import BackboneConfig
from detzoo.backbones.res2net import Res2NetConfig
from detzoo.data.transforms import ShrinkSemanticMap
from detzoo.detectors.panoptic_fpn import PanopticFPNConfig
from detzoo.detectors.two_stage import TwoStageConfig
from detzoo.experiment import Experiment
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.zoo.classes import COCO_STUFF
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.mask_rcnn import mask_rcnn
from detzoo.zoo.parts import RANGE_640_800, Recipe, resnet

RES2NET_50 = Res2NetConfig(depth=50, pretrained="res2net50_v1b_26w_4s-3cf99910.pth")


def panoptic_fpn(backbone: BackboneConfig = resnet(50), **recipe: Unpack[Recipe]) -> Experiment:
    """Panoptic FPN: a Mask R-CNN whose few confident objects are laid over a map of stuff."""
    recipe.setdefault("stuff_names", COCO_STUFF)
    select = Select(min_score=0.6, suppression=NMS(max_iou=0.5, class_agnostic=True))
    made = mask_rcnn(backbone, select=select, **recipe)
    things = made.model
    assert isinstance(things, TwoStageConfig)
    model = PanopticFPNConfig(
        backbone=backbone, neck=things.neck, rpn_head=things.rpn_head, roi_head=things.roi_head
    )
    transforms = (*made.data.train_transforms, ShrinkSemanticMap(stride=4))
    data = dataclasses.replace(made.data, train_transforms=transforms)
    return dataclasses.replace(made, model=model, data=data)


ENTRIES = (
    Entry(
        "panoptic_fpn_r101_fpn_1x_coco",
        panoptic_fpn(resnet(101)),
        pq=42.2,
        memory_gb=6.5,
        weights="panoptic_fpn_r101_fpn_1x_coco_20210820_193950-ab9157a2.pth",
    ),
    Entry(
        "panoptic_fpn_r101_fpn_mstrain_3x_coco",
        panoptic_fpn(resnet(101), sizes=RANGE_640_800, size_mode="range", repeats=3),
        pq=44.1,
        memory_gb=6.5,
        weights="panoptic_fpn_r101_fpn_mstrain_3x_coco_20210823_114712-9c99acc4.pth",
    ),
    Entry(
        "panoptic_fpn_r2_50_fpn_fp16_1x_coco",
        panoptic_fpn(RES2NET_50, precision="fp16"),
        pq=42.5,
        memory_gb=3.5,
        weights="rfnext/panoptic_fpn_r2_50_fpn_fp16_1x_coco/"
        "panoptic_fpn_r2_50_fpn_fp16_1x_coco-fa6c51f0.pth",
    ),
    Entry(
        "panoptic_fpn_r50_fpn_1x_coco",
        panoptic_fpn(),
        pq=40.2,
        memory_gb=4.6,
        weights="panoptic_fpn_r50_fpn_1x_coco_20210821_101153-9668fd13.pth",
    ),
    Entry(
        "panoptic_fpn_r50_fpn_mstrain_3x_coco",
        panoptic_fpn(sizes=RANGE_640_800, size_mode="range", repeats=3),
        pq=42.5,
        memory_gb=4.6,
        weights="panoptic_fpn_r50_fpn_mstrain_3x_coco_20210824_171155-5650f98b.pth",
    ),
)

FAMILY = Family(
    folder="panoptic_fpn",
    title="Panoptic FPN",
    paper="https://arxiv.org/abs/1901.02446",
    entries=ENTRIES,
)
