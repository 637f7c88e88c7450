"""Deformable convolutional networks, version 2."""

from __future__ import annotations

import dataclasses

from detzoo.backbones.resnet import ResNetConfig
from detzoo.heads.roi.deformable_extractor import DeformablePoolingConfig
from detzoo.layers.convolution import DeformConvConfig
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.faster_rcnn import faster_rcnn
from detzoo.zoo.mask_rcnn import mask_rcnn
from detzoo.zoo.parts import resnet


def modulated(backbone: ResNetConfig, groups: int = 1) -> ResNetConfig:
    """The backbone with modulated deformable convolutions from its second stage on ("c3-c5")."""
    return dataclasses.replace(backbone, deformable=DeformConvConfig(groups=groups, modulated=True))


ENTRIES = (
    Entry(
        "faster_rcnn_r50_fpn_mdconv_c3-c5_1x_coco",
        faster_rcnn(modulated(resnet(50))),
        box_ap=41.4,
        memory_gb=4.1,
        inference_ms=56.82,
        weights="dcn/faster_rcnn_r50_fpn_mdconv_c3-c5_1x_coco/faster_rcnn_r50_fpn_mdconv_c3-c5_1x_coco_20200130-d099253b.pth",
    ),
    Entry(
        "faster_rcnn_r50_fpn_mdconv_c3-c5_group4_1x_coco",
        faster_rcnn(modulated(resnet(50), groups=4)),
        box_ap=41.5,
        memory_gb=4.2,
        inference_ms=57.47,
        weights="dcn/faster_rcnn_r50_fpn_mdconv_c3-c5_group4_1x_coco/faster_rcnn_r50_fpn_mdconv_c3-c5_group4_1x_coco_20200130-01262257.pth",
    ),
    Entry(
        "faster_rcnn_r50_fpn_mdpool_1x_coco",
        faster_rcnn(extractor=DeformablePoolingConfig(modulated=True)),
        box_ap=38.7,
        memory_gb=5.8,
        inference_ms=60.24,
        weights="dcn/faster_rcnn_r50_fpn_mdpool_1x_coco/faster_rcnn_r50_fpn_mdpool_1x_coco_20200307-c0df27ff.pth",
    ),
    Entry(
        "mask_rcnn_r50_fpn_fp16_mdconv_c3-c5_1x_coco",
        mask_rcnn(modulated(resnet(50)), precision="fp16", loss_scale=512.0),
        box_ap=42.0,
        mask_ap=37.6,
        memory_gb=3.1,
        weights="fp16/mask_rcnn_r50_fpn_fp16_mdconv_c3-c5_1x_coco/mask_rcnn_r50_fpn_fp16_mdconv_c3-c5_1x_coco_20210520_180434-cf8fefa5.pth",
    ),
    Entry(
        "mask_rcnn_r50_fpn_mdconv_c3-c5_1x_coco",
        mask_rcnn(modulated(resnet(50))),
        box_ap=41.5,
        mask_ap=37.1,
        memory_gb=4.5,
        inference_ms=66.23,
        weights="dcn/mask_rcnn_r50_fpn_mdconv_c3-c5_1x_coco/mask_rcnn_r50_fpn_mdconv_c3-c5_1x_coco_20200203-ad97591f.pth",
    ),
)

FAMILY = Family(
    folder="dcnv2",
    title="Deformable convolutions v2",
    paper="https://arxiv.org/abs/1811.11168",
    entries=ENTRIES,
)
