"""Deformable convolutional networks."""

from __future__ import annotations

import dataclasses

from detzoo.backbones.resnet import ResNetConfig
from detzoo.heads.roi.deformable_extractor import DeformablePoolingConfig
from detzoo.layers.convolution import DeformConvConfig
from detzoo.zoo.cascade_rcnn import cascade_mask_rcnn, cascade_rcnn
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.faster_rcnn import faster_rcnn
from detzoo.zoo.mask_rcnn import mask_rcnn
from detzoo.zoo.parts import resnet, resnext


def deformable(backbone: ResNetConfig) -> ResNetConfig:
    """The backbone with deformable convolutions from its second stage on ("c3-c5")."""
    return dataclasses.replace(backbone, deformable=DeformConvConfig())


ENTRIES = (
    Entry(
        "cascade_mask_rcnn_r101_fpn_dconv_c3-c5_1x_coco",
        cascade_mask_rcnn(deformable(resnet(101))),
        box_ap=45.8,
        mask_ap=39.7,
        memory_gb=8.0,
        inference_ms=116.28,
        weights="cascade_mask_rcnn_r101_fpn_dconv_c3-c5_1x_coco_20200204-df0c5f10.pth",
    ),
    Entry(
        "cascade_mask_rcnn_r50_fpn_dconv_c3-c5_1x_coco",
        cascade_mask_rcnn(deformable(resnet(50))),
        box_ap=44.4,
        mask_ap=38.6,
        memory_gb=6.0,
        inference_ms=100.0,
        weights="cascade_mask_rcnn_r50_fpn_dconv_c3-c5_1x_coco_20200202-42e767a2.pth",
    ),
    Entry(
        "cascade_mask_rcnn_x101_32x4d_fpn_dconv_c3-c5_1x_coco",
        cascade_mask_rcnn(deformable(resnext(32, 4))),
        box_ap=47.3,
        mask_ap=41.1,
        memory_gb=9.2,
        weights="cascade_mask_rcnn_x101_32x4d_fpn_dconv_c3-c5_1x_coco-e75f90c8.pth",
    ),
    Entry(
        "cascade_rcnn_r101_fpn_dconv_c3-c5_1x_coco",
        cascade_rcnn(deformable(resnet(101))),
        box_ap=45.0,
        memory_gb=6.4,
        inference_ms=90.91,
        weights="cascade_rcnn_r101_fpn_dconv_c3-c5_1x_coco_20200203-3b2f0594.pth",
    ),
    Entry(
        "cascade_rcnn_r50_fpn_dconv_c3-c5_1x_coco",
        cascade_rcnn(deformable(resnet(50))),
        box_ap=43.8,
        memory_gb=4.5,
        inference_ms=68.49,
        weights="cascade_rcnn_r50_fpn_dconv_c3-c5_1x_coco_20200130-2f1fca44.pth",
    ),
    Entry(
        "faster_rcnn_r101_fpn_dconv_c3-c5_1x_coco",
        faster_rcnn(deformable(resnet(101))),
        box_ap=42.7,
        memory_gb=6.0,
        inference_ms=80.0,
        weights="faster_rcnn_r101_fpn_dconv_c3-c5_1x_coco_20200203-1377f13d.pth",
    ),
    Entry(
        "faster_rcnn_r50_fpn_dconv_c3-c5_1x_coco",
        faster_rcnn(deformable(resnet(50))),
        box_ap=41.3,
        memory_gb=4.0,
        inference_ms=56.18,
        weights="faster_rcnn_r50_fpn_dconv_c3-c5_1x_coco_20200130-d68aed1e.pth",
    ),
    Entry(
        "faster_rcnn_r50_fpn_dpool_1x_coco",
        faster_rcnn(extractor=DeformablePoolingConfig()),
        box_ap=38.9,
        memory_gb=5.0,
        inference_ms=58.14,
        weights="faster_rcnn_r50_fpn_dpool_1x_coco_20200307-90d3c01d.pth",
    ),
    Entry(
        "faster_rcnn_x101_32x4d_fpn_dconv_c3-c5_1x_coco",
        faster_rcnn(deformable(resnext(32, 4))),
        box_ap=44.5,
        memory_gb=7.3,
        inference_ms=100.0,
        weights="faster_rcnn_x101_32x4d_fpn_dconv_c3-c5_1x_coco_20200203-4f85c69c.pth",
    ),
    Entry(
        "mask_rcnn_r101_fpn_dconv_c3-c5_1x_coco",
        mask_rcnn(deformable(resnet(101))),
        box_ap=43.5,
        mask_ap=38.9,
        memory_gb=6.5,
        inference_ms=85.47,
        weights="mask_rcnn_r101_fpn_dconv_c3-c5_1x_coco_20200216-a71f5bce.pth",
    ),
    Entry(
        "mask_rcnn_r50_fpn_dconv_c3-c5_1x_coco",
        mask_rcnn(deformable(resnet(50))),
        box_ap=41.8,
        mask_ap=37.4,
        memory_gb=4.5,
        inference_ms=64.94,
        weights="mask_rcnn_r50_fpn_dconv_c3-c5_1x_coco_20200203-4d9ad43b.pth",
    ),
    Entry(
        "mask_rcnn_r50_fpn_fp16_dconv_c3-c5_1x_coco",
        mask_rcnn(deformable(resnet(50)), precision="fp16", loss_scale=512.0),
        box_ap=41.9,
        mask_ap=37.5,
        memory_gb=3.0,
        weights="fp16/mask_rcnn_r50_fpn_fp16_dconv_c3-c5_1x_coco/mask_rcnn_r50_fpn_fp16_dconv_c3-c5_1x_coco_20210520_180247-c06429d2.pth",
    ),
)

FAMILY = Family(
    folder="dcn",
    title="Deformable convolutions",
    paper="https://arxiv.org/abs/1703.06211",
    entries=ENTRIES,
)
