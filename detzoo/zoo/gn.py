"""Group normalization."""

from __future__ import annotations

import dataclasses

from typing_extensions import Unpack

from detzoo.backbones.resnet import ResNetConfig
from detzoo.experiment import Experiment
from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.heads.roi.mask_head import MaskHeadConfig
from detzoo.layers.norm import GroupNormConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.schedules import epochs
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.mask_rcnn import mask_rcnn
from detzoo.zoo.parts import EPOCHS_36_CAFFE, Depth, Recipe

GN = GroupNormConfig()
NECK = FPNConfig(norm=GN)
BOX_HEAD = BoxHeadConfig(num_shared_convs=4, num_shared_fcs=1, norm=GN)
MASK_HEAD = MaskHeadConfig(norm=GN)


def gn_resnet(depth: Depth) -> ResNetConfig:
    """ResNet with group norm and Detectron's weights."""
    name = "open-mmlab://detectron/{architecture}_gn"
    return ResNetConfig(depth=depth, pretrained=name, norm=GN)


def contrib_resnet() -> ResNetConfig:
    """ResNet-50 with group norm and weights trained in PyTorch."""
    name = "open-mmlab://contrib/{architecture}_gn"
    return dataclasses.replace(gn_resnet(50), pretrained=name)


def mask_rcnn_gn(backbone: ResNetConfig, **recipe: Unpack[Recipe]) -> Experiment:
    """Mask R-CNN with group norm everywhere except in the RPN."""
    return mask_rcnn(backbone, neck=NECK, box_head=BOX_HEAD, mask_head=MASK_HEAD, **recipe)


ENTRIES = (
    Entry(
        "mask_rcnn_r101_fpn_gn-all_2x_coco",
        mask_rcnn_gn(gn_resnet(101), schedule=epochs(24)),
        box_ap=41.9,
        mask_ap=37.6,
        memory_gb=9.9,
        inference_ms=111.11,
        weights="mask_rcnn_r101_fpn_gn-all_2x_coco_20200205-d96b1b50.pth",
    ),
    Entry(
        "mask_rcnn_r101_fpn_gn-all_3x_coco",
        mask_rcnn_gn(gn_resnet(101), schedule=EPOCHS_36_CAFFE),
        box_ap=42.1,
        mask_ap=38.0,
        memory_gb=9.9,
        inference_ms=111.11,
        weights="mask_rcnn_r101_fpn_gn-all_3x_coco_20200513_181609-0df864f4.pth",
    ),
    Entry(
        "mask_rcnn_r50_fpn_gn-all_2x_coco",
        mask_rcnn_gn(gn_resnet(50), schedule=epochs(24)),
        box_ap=40.2,
        mask_ap=36.4,
        memory_gb=7.1,
        inference_ms=90.91,
        weights="mask_rcnn_r50_fpn_gn-all_2x_coco_20200206-8eee02a6.pth",
    ),
    Entry(
        "mask_rcnn_r50_fpn_gn-all_3x_coco",
        mask_rcnn_gn(gn_resnet(50), schedule=EPOCHS_36_CAFFE),
        box_ap=40.5,
        mask_ap=36.7,
        memory_gb=7.1,
        inference_ms=90.91,
        weights="mask_rcnn_r50_fpn_gn-all_3x_coco_20200214-8b23b1e5.pth",
    ),
    Entry(
        "mask_rcnn_r50_fpn_gn-all_contrib_2x_coco",
        mask_rcnn_gn(contrib_resnet(), schedule=epochs(24)),
        box_ap=40.0,
        mask_ap=36.1,
        memory_gb=7.1,
        inference_ms=91.74,
        weights="mask_rcnn_r50_fpn_gn-all_contrib_2x_coco_20200207-20d3e849.pth",
    ),
    Entry(
        "mask_rcnn_r50_fpn_gn-all_contrib_3x_coco",
        mask_rcnn_gn(contrib_resnet(), schedule=EPOCHS_36_CAFFE),
        box_ap=40.1,
        mask_ap=36.2,
        memory_gb=7.1,
        inference_ms=91.74,
        weights="mask_rcnn_r50_fpn_gn-all_contrib_3x_coco_20200225-542aefbc.pth",
    ),
)

FAMILY = Family(
    folder="gn",
    title="Group normalization",
    paper="https://arxiv.org/abs/1803.08494",
    entries=ENTRIES,
)
