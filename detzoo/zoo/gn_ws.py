"""Weight standardization with group normalization."""

from __future__ import annotations

import dataclasses

from typing_extensions import Unpack

from detzoo.backbones.resnet import ResNetConfig
from detzoo.experiment import Experiment
from detzoo.layers.convolution import WeightStandardizedConvConfig
from detzoo.optim.schedules import epochs
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.faster_rcnn import faster_rcnn
from detzoo.zoo.gn import BOX_HEAD, GN, MASK_HEAD, NECK
from detzoo.zoo.mask_rcnn import mask_rcnn
from detzoo.zoo.parts import Depth, Recipe

WS = WeightStandardizedConvConfig()
WS_NECK = dataclasses.replace(NECK, convolution=WS)
WS_BOX_HEAD = dataclasses.replace(BOX_HEAD, convolution=WS)
WS_MASK_HEAD = dataclasses.replace(MASK_HEAD, convolution=WS)


def ws_resnet(depth: Depth) -> ResNetConfig:
    """ResNet with standardized filters and group norm."""
    name = "open-mmlab://jhu/{architecture}_gn_ws"
    return ResNetConfig(depth=depth, pretrained=name, norm=GN, convolution=WS)


def ws_resnext(depth: Depth) -> ResNetConfig:
    """ResNeXt-32x4d with standardized filters and group norm."""
    return dataclasses.replace(ws_resnet(depth), groups=32, width_per_group=4)


def faster_rcnn_ws(backbone: ResNetConfig) -> Experiment:
    """Faster R-CNN with both everywhere except in the RPN."""
    return faster_rcnn(backbone, neck=WS_NECK, box_head=WS_BOX_HEAD)


def mask_rcnn_ws(backbone: ResNetConfig, **recipe: Unpack[Recipe]) -> Experiment:
    """Mask R-CNN with both everywhere except in the RPN."""
    return mask_rcnn(backbone, neck=WS_NECK, box_head=WS_BOX_HEAD, mask_head=WS_MASK_HEAD, **recipe)


ENTRIES = (
    Entry(
        "faster_rcnn_r101_fpn_gn_ws-all_1x_coco",
        faster_rcnn_ws(ws_resnet(101)),
        box_ap=41.7,
        memory_gb=8.9,
        inference_ms=111.11,
        weights="gn%2Bws/faster_rcnn_r101_fpn_gn_ws-all_1x_coco/faster_rcnn_r101_fpn_gn_ws-all_1x_coco_20200205-a93b0d75.pth",
    ),
    Entry(
        "faster_rcnn_r50_fpn_gn_ws-all_1x_coco",
        faster_rcnn_ws(ws_resnet(50)),
        box_ap=39.7,
        memory_gb=5.9,
        inference_ms=85.47,
        weights="gn%2Bws/faster_rcnn_r50_fpn_gn_ws-all_1x_coco/faster_rcnn_r50_fpn_gn_ws-all_1x_coco_20200130-613d9fe2.pth",
    ),
    Entry(
        "faster_rcnn_x101_32x4d_fpn_gn_ws-all_1x_coco",
        faster_rcnn_ws(ws_resnext(101)),
        box_ap=42.1,
        memory_gb=10.8,
        inference_ms=131.58,
        weights="gn%2Bws/faster_rcnn_x101_32x4d_fpn_gn_ws-all_1x_coco/faster_rcnn_x101_32x4d_fpn_gn_ws-all_1x_coco_20200212-27da1bc2.pth",
    ),
    Entry(
        "faster_rcnn_x50_32x4d_fpn_gn_ws-all_1x_coco",
        faster_rcnn_ws(ws_resnext(50)),
        box_ap=40.7,
        memory_gb=7.0,
        inference_ms=97.09,
        weights="gn%2Bws/faster_rcnn_x50_32x4d_fpn_gn_ws-all_1x_coco/faster_rcnn_x50_32x4d_fpn_gn_ws-all_1x_coco_20200203-839c5d9d.pth",
    ),
    Entry(
        "mask_rcnn_r101_fpn_gn_ws-all_20_23_24e_coco",
        mask_rcnn_ws(ws_resnet(101), schedule=epochs(24, milestones=(20, 23))),
        box_ap=43.1,
        mask_ap=38.6,
        memory_gb=10.3,
        weights="gn%2Bws/mask_rcnn_r101_fpn_gn_ws-all_20_23_24e_coco/mask_rcnn_r101_fpn_gn_ws-all_20_23_24e_coco_20200213-57b5a50f.pth",
    ),
    Entry(
        "mask_rcnn_r101_fpn_gn_ws-all_2x_coco",
        mask_rcnn_ws(ws_resnet(101), schedule=epochs(24)),
        box_ap=42.0,
        mask_ap=37.7,
        memory_gb=10.3,
        inference_ms=116.28,
        weights="gn%2Bws/mask_rcnn_r101_fpn_gn_ws-all_2x_coco/mask_rcnn_r101_fpn_gn_ws-all_2x_coco_20200212-ea357cd9.pth",
    ),
    Entry(
        "mask_rcnn_r50_fpn_gn_ws-all_20_23_24e_coco",
        mask_rcnn_ws(ws_resnet(50), schedule=epochs(24, milestones=(20, 23))),
        box_ap=41.1,
        mask_ap=37.1,
        memory_gb=7.3,
        weights="gn%2Bws/mask_rcnn_r50_fpn_gn_ws-all_20_23_24e_coco/mask_rcnn_r50_fpn_gn_ws-all_20_23_24e_coco_20200213-487d1283.pth",
    ),
    Entry(
        "mask_rcnn_r50_fpn_gn_ws-all_2x_coco",
        mask_rcnn_ws(ws_resnet(50), schedule=epochs(24)),
        box_ap=40.6,
        mask_ap=36.6,
        memory_gb=7.3,
        inference_ms=95.24,
        weights="gn%2Bws/mask_rcnn_r50_fpn_gn_ws-all_2x_coco/mask_rcnn_r50_fpn_gn_ws-all_2x_coco_20200226-16acb762.pth",
    ),
    Entry(
        "mask_rcnn_x101_32x4d_fpn_gn_ws-all_20_23_24e_coco",
        mask_rcnn_ws(ws_resnext(101), schedule=epochs(24, milestones=(20, 23))),
        box_ap=42.7,
        mask_ap=38.5,
        memory_gb=12.2,
        weights="gn%2Bws/mask_rcnn_x101_32x4d_fpn_gn_ws-all_20_23_24e_coco/mask_rcnn_x101_32x4d_fpn_gn_ws-all_20_23_24e_coco_20200316-e6cd35ef.pth",
    ),
    Entry(
        "mask_rcnn_x101_32x4d_fpn_gn_ws-all_2x_coco",
        mask_rcnn_ws(ws_resnext(101), schedule=epochs(24)),
        box_ap=42.1,
        mask_ap=37.9,
        memory_gb=12.2,
        inference_ms=140.85,
        weights="gn%2Bws/mask_rcnn_x101_32x4d_fpn_gn_ws-all_2x_coco/mask_rcnn_x101_32x4d_fpn_gn_ws-all_2x_coco_20200319-33fb95b5.pth",
    ),
    Entry(
        "mask_rcnn_x50_32x4d_fpn_gn_ws-all_20_23_24e_coco",
        mask_rcnn_ws(ws_resnext(50), schedule=epochs(24, milestones=(20, 23))),
        box_ap=42.1,
        mask_ap=38.0,
        memory_gb=8.4,
        weights="gn%2Bws/mask_rcnn_x50_32x4d_fpn_gn_ws-all_20_23_24e_coco/mask_rcnn_x50_32x4d_fpn_gn_ws-all_20_23_24e_coco_20200226-969bcb2c.pth",
    ),
    Entry(
        "mask_rcnn_x50_32x4d_fpn_gn_ws-all_2x_coco",
        mask_rcnn_ws(ws_resnext(50), schedule=epochs(24)),
        box_ap=41.1,
        mask_ap=37.0,
        memory_gb=8.4,
        inference_ms=107.53,
        weights="gn%2Bws/mask_rcnn_x50_32x4d_fpn_gn_ws-all_2x_coco/mask_rcnn_x50_32x4d_fpn_gn_ws-all_2x_coco_20200216-649fdb6f.pth",
    ),
)

FAMILY = Family(
    folder="gn+ws",
    title="Weight standardization",
    paper="https://arxiv.org/abs/1903.10520",
    entries=ENTRIES,
)
