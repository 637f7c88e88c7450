"""Global context networks."""

from __future__ import annotations

import dataclasses

from detzoo.backbones.resnet import ResNetConfig
from detzoo.layers.norm import BatchNormConfig
from detzoo.zoo.cascade_rcnn import cascade_mask_rcnn
from detzoo.zoo.dcn import deformable
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.mask_rcnn import mask_rcnn
from detzoo.zoo.parts import resnet, resnext


def with_context(backbone: ResNetConfig, ratio: float) -> ResNetConfig:
    """The backbone with context blocks from its second stage on ("c3-c5")."""
    return dataclasses.replace(backbone, context_ratio=ratio)


def synchronized(backbone: ResNetConfig) -> ResNetConfig:
    """The backbone with synchronized batch norm."""
    return dataclasses.replace(backbone, norm=BatchNormConfig(synchronized=True))


ENTRIES = (
    Entry(
        "cascade_mask_rcnn_x101_32x4d_fpn_syncbn-backbone_1x_coco",
        cascade_mask_rcnn(synchronized(resnext(32, 4))),
        box_ap=44.7,
        mask_ap=38.6,
        memory_gb=9.2,
        inference_ms=119.05,
        weights="cascade_mask_rcnn_x101_32x4d_fpn_syncbn-backbone_1x_coco_20200310-d5ad2a5e.pth",
    ),
    Entry(
        "cascade_mask_rcnn_x101_32x4d_fpn_syncbn-backbone_dconv_c3-c5_1x_coco",
        cascade_mask_rcnn(synchronized(deformable(resnext(32, 4)))),
        box_ap=47.5,
        mask_ap=40.9,
        weights="cascade_mask_rcnn_x101_32x4d_fpn_syncbn-backbone_dconv_c3-c5_1x_coco_20210615_211019-abbc39ea.pth",
    ),
    Entry(
        "cascade_mask_rcnn_x101_32x4d_fpn_syncbn-backbone_dconv_c3-c5_r16_gcb_c3-c5_1x_coco",
        cascade_mask_rcnn(with_context(synchronized(deformable(resnext(32, 4))), ratio=1 / 16)),
        box_ap=48.0,
        mask_ap=41.3,
        weights="cascade_mask_rcnn_x101_32x4d_fpn_syncbn-backbone_dconv_c3-c5_r16_gcb_c3-c5_1x_coco_20210615_215648-44aa598a.pth",
    ),
    Entry(
        "cascade_mask_rcnn_x101_32x4d_fpn_syncbn-backbone_dconv_c3-c5_r4_gcb_c3-c5_1x_coco",
        cascade_mask_rcnn(with_context(synchronized(deformable(resnext(32, 4))), ratio=1 / 4)),
        box_ap=47.9,
        mask_ap=41.1,
        weights="cascade_mask_rcnn_x101_32x4d_fpn_syncbn-backbone_dconv_c3-c5_r4_gcb_c3-c5_1x_coco_20210615_161851-720338ec.pth",
    ),
    Entry(
        "cascade_mask_rcnn_x101_32x4d_fpn_syncbn-backbone_r16_gcb_c3-c5_1x_coco",
        cascade_mask_rcnn(with_context(synchronized(resnext(32, 4)), ratio=1 / 16)),
        box_ap=46.2,
        mask_ap=39.7,
        memory_gb=10.3,
        inference_ms=129.87,
        weights="cascade_mask_rcnn_x101_32x4d_fpn_syncbn-backbone_r16_gcb_c3-c5_1x_coco_20200211-10bf2463.pth",
    ),
    Entry(
        "cascade_mask_rcnn_x101_32x4d_fpn_syncbn-backbone_r4_gcb_c3-c5_1x_coco",
        cascade_mask_rcnn(with_context(synchronized(resnext(32, 4)), ratio=1 / 4)),
        box_ap=46.4,
        mask_ap=40.1,
        memory_gb=10.6,
        weights="cascade_mask_rcnn_x101_32x4d_fpn_syncbn-backbone_r4_gcb_c3-c5_1x_coco_20200703_180653-ed035291.pth",
    ),
    Entry(
        "mask_rcnn_r101_fpn_r16_gcb_c3-c5_1x_coco",
        mask_rcnn(with_context(resnet(101), ratio=1 / 16)),
        box_ap=41.3,
        mask_ap=37.2,
        memory_gb=7.6,
        inference_ms=87.72,
        weights="mask_rcnn_r101_fpn_r16_gcb_c3-c5_1x_coco_20200205-e58ae947.pth",
    ),
    Entry(
        "mask_rcnn_r101_fpn_r4_gcb_c3-c5_1x_coco",
        mask_rcnn(with_context(resnet(101), ratio=1 / 4)),
        box_ap=42.2,
        mask_ap=37.8,
        memory_gb=7.8,
        inference_ms=86.21,
        weights="mask_rcnn_r101_fpn_r4_gcb_c3-c5_1x_coco_20200206-af22dc9d.pth",
    ),
    Entry(
        "mask_rcnn_r101_fpn_syncbn-backbone_1x_coco",
        mask_rcnn(synchronized(resnet(101))),
        box_ap=40.5,
        mask_ap=36.3,
        memory_gb=6.4,
        inference_ms=75.19,
        weights="mask_rcnn_r101_fpn_syncbn-backbone_1x_coco_20200210-81658c8a.pth",
    ),
    Entry(
        "mask_rcnn_r101_fpn_syncbn-backbone_r16_gcb_c3-c5_1x_coco",
        mask_rcnn(with_context(synchronized(resnet(101)), ratio=1 / 16)),
        box_ap=42.2,
        mask_ap=37.8,
        memory_gb=7.6,
        inference_ms=83.33,
        weights="mask_rcnn_r101_fpn_syncbn-backbone_r16_gcb_c3-c5_1x_coco_20200207-945e77ca.pth",
    ),
    Entry(
        "mask_rcnn_r101_fpn_syncbn-backbone_r4_gcb_c3-c5_1x_coco",
        mask_rcnn(with_context(synchronized(resnet(101)), ratio=1 / 4)),
        box_ap=42.2,
        mask_ap=37.8,
        memory_gb=7.8,
        inference_ms=84.75,
        weights="mask_rcnn_r101_fpn_syncbn-backbone_r4_gcb_c3-c5_1x_coco_20200206-8407a3f0.pth",
    ),
    Entry(
        "mask_rcnn_r50_fpn_r16_gcb_c3-c5_1x_coco",
        mask_rcnn(with_context(resnet(50), ratio=1 / 16)),
        box_ap=39.7,
        mask_ap=35.9,
        memory_gb=5.0,
        weights="mask_rcnn_r50_fpn_r16_gcb_c3-c5_1x_coco_20200515_211915-187da160.pth",
    ),
    Entry(
        "mask_rcnn_r50_fpn_r4_gcb_c3-c5_1x_coco",
        mask_rcnn(with_context(resnet(50), ratio=1 / 4)),
        box_ap=39.9,
        mask_ap=36.0,
        memory_gb=5.1,
        inference_ms=66.67,
        weights="mask_rcnn_r50_fpn_r4_gcb_c3-c5_1x_coco_20200204-17235656.pth",
    ),
    Entry(
        "mask_rcnn_r50_fpn_syncbn-backbone_1x_coco",
        mask_rcnn(synchronized(resnet(50))),
        box_ap=38.4,
        mask_ap=34.6,
        memory_gb=4.4,
        inference_ms=60.24,
        weights="mask_rcnn_r50_fpn_syncbn-backbone_1x_coco_20200202-bb3eb55c.pth",
    ),
    Entry(
        "mask_rcnn_r50_fpn_syncbn-backbone_r16_gcb_c3-c5_1x_coco",
        mask_rcnn(with_context(synchronized(resnet(50)), ratio=1 / 16)),
        box_ap=40.4,
        mask_ap=36.2,
        memory_gb=5.0,
        inference_ms=64.52,
        weights="mask_rcnn_r50_fpn_syncbn-backbone_r16_gcb_c3-c5_1x_coco_20200202-587b99aa.pth",
    ),
    Entry(
        "mask_rcnn_r50_fpn_syncbn-backbone_r4_gcb_c3-c5_1x_coco",
        mask_rcnn(with_context(synchronized(resnet(50)), ratio=1 / 4)),
        box_ap=40.7,
        mask_ap=36.5,
        memory_gb=5.1,
        inference_ms=66.23,
        weights="mask_rcnn_r50_fpn_syncbn-backbone_r4_gcb_c3-c5_1x_coco_20200202-50b90e5c.pth",
    ),
    Entry(
        "mask_rcnn_x101_32x4d_fpn_syncbn-backbone_1x_coco",
        mask_rcnn(synchronized(resnext(32, 4))),
        box_ap=42.4,
        mask_ap=37.7,
        memory_gb=7.6,
        inference_ms=88.5,
        weights="mask_rcnn_x101_32x4d_fpn_syncbn-backbone_1x_coco_20200211-7584841c.pth",
    ),
    Entry(
        "mask_rcnn_x101_32x4d_fpn_syncbn-backbone_r16_gcb_c3-c5_1x_coco",
        mask_rcnn(with_context(synchronized(resnext(32, 4)), ratio=1 / 16)),
        box_ap=43.5,
        mask_ap=38.6,
        memory_gb=8.8,
        inference_ms=102.04,
        weights="mask_rcnn_x101_32x4d_fpn_syncbn-backbone_r16_gcb_c3-c5_1x_coco_20200211-cbed3d2c.pth",
    ),
    Entry(
        "mask_rcnn_x101_32x4d_fpn_syncbn-backbone_r4_gcb_c3-c5_1x_coco",
        mask_rcnn(with_context(synchronized(resnext(32, 4)), ratio=1 / 4)),
        box_ap=43.9,
        mask_ap=39.0,
        memory_gb=9.0,
        inference_ms=103.09,
        weights="mask_rcnn_x101_32x4d_fpn_syncbn-backbone_r4_gcb_c3-c5_1x_coco_20200212-68164964.pth",
    ),
)

FAMILY = Family(
    folder="gcnet",
    title="Global context",
    paper="https://arxiv.org/abs/1904.11492",
    entries=ENTRIES,
)
