"""Region proposal networks alone."""

from __future__ import annotations

import dataclasses

from typing_extensions import Unpack

from detzoo.backbones.resnet import ResNetConfig
from detzoo.detectors.proposal_only import ProposalOnlyConfig
from detzoo.experiment import Experiment
from detzoo.heads.dense.rpn import RPNHeadConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.schedules import epochs
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.priors.anchors import AnchorGrid
from detzoo.zoo.classes import OBJECT
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import Recipe, caffe_resnet, experiment, resnet, resnext

# With a single feature map, the anchors must cover all object sizes.
SINGLE_LEVEL_ANCHORS = AnchorGrid(scales=(2.0, 4.0, 8.0, 16.0, 32.0))


def proposals(pre_nms: int, max_detections: int = 1000) -> Select:
    """The best ``max_detections`` of ``pre_nms`` per level after NMS at IoU 0.7."""
    return Select(
        min_score=0.0,
        pre_nms=pre_nms,
        suppression=NMS(max_iou=0.7),
        max_detections=max_detections,
    )


def c4(backbone: ResNetConfig) -> ResNetConfig:
    """The backbone up to its third stage, with only that stage's map as output."""
    return dataclasses.replace(backbone, strides=(1, 2, 2), dilations=(1, 1, 1), out_stages=(2,))


def rpn(
    backbone: ResNetConfig = resnet(50),
    *,
    neck: FPNConfig | None = FPNConfig(),
    anchors: AnchorGrid = AnchorGrid(),
    select: Select = proposals(2000),
    **recipe: Unpack[Recipe],
) -> Experiment:
    """RPN with FPN levels P2-P6 and three anchors per cell."""
    head = RPNHeadConfig(priors=anchors, border=0.0, select=select)
    recipe.setdefault("class_names", OBJECT)
    return experiment(ProposalOnlyConfig(backbone=backbone, neck=neck, rpn_head=head), **recipe)


ENTRIES = (
    Entry(
        "rpn_r101_caffe_fpn_1x_coco",
        rpn(caffe_resnet(101)),
        ar1000=60.0,
        memory_gb=5.4,
        inference_ms=57.8,
        weights="rpn_r101_caffe_fpn_1x_coco_20200531-0629a2e2.pth",
    ),
    Entry(
        "rpn_r101_fpn_1x_coco",
        rpn(resnet(101)),
        ar1000=59.7,
        memory_gb=5.8,
        inference_ms=60.6,
        weights="rpn_r101_fpn_1x_coco_20200131-2ace2249.pth",
    ),
    Entry(
        "rpn_r101_fpn_2x_coco",
        rpn(resnet(101), schedule=epochs(24)),
        ar1000=60.2,
        weights="rpn_r101_fpn_2x_coco_20200131-24e3db1a.pth",
    ),
    Entry(
        "rpn_r50_caffe_c4_1x_coco",
        rpn(
            c4(caffe_resnet(50)),
            neck=None,
            anchors=SINGLE_LEVEL_ANCHORS,
            select=proposals(12000, max_detections=2000),
        ),
    ),
    Entry(
        "rpn_r50_caffe_fpn_1x_coco",
        rpn(caffe_resnet(50)),
        ar1000=58.7,
        memory_gb=3.5,
        inference_ms=44.2,
        weights="rpn_r50_caffe_fpn_1x_coco_20200531-5b903a37.pth",
    ),
    Entry(
        "rpn_r50_fpn_1x_coco",
        rpn(),
        ar1000=58.2,
        memory_gb=3.8,
        inference_ms=44.8,
        weights="rpn_r50_fpn_1x_coco_20200218-5525fa2e.pth",
    ),
    Entry(
        "rpn_r50_fpn_2x_coco",
        rpn(schedule=epochs(24)),
        ar1000=58.6,
        weights="rpn_r50_fpn_2x_coco_20200131-0728c9b3.pth",
    ),
    Entry(
        "rpn_x101_32x4d_fpn_1x_coco",
        rpn(resnext(32, 4)),
        ar1000=60.6,
        memory_gb=7.0,
        inference_ms=76.9,
        weights="rpn_x101_32x4d_fpn_1x_coco_20200219-b02646c6.pth",
    ),
    Entry(
        "rpn_x101_32x4d_fpn_2x_coco",
        rpn(resnext(32, 4), schedule=epochs(24)),
        ar1000=61.1,
        weights="rpn_x101_32x4d_fpn_2x_coco_20200208-d22bd0bb.pth",
    ),
    Entry(
        "rpn_x101_64x4d_fpn_1x_coco",
        rpn(resnext(64, 4)),
        ar1000=61.0,
        memory_gb=10.1,
        inference_ms=109.9,
        weights="rpn_x101_64x4d_fpn_1x_coco_20200208-cde6f7dd.pth",
    ),
    Entry(
        "rpn_x101_64x4d_fpn_2x_coco",
        rpn(resnext(64, 4), schedule=epochs(24)),
        ar1000=61.5,
        weights="rpn_x101_64x4d_fpn_2x_coco_20200208-c65f524f.pth",
    ),
)

FAMILY = Family(
    folder="rpn",
    title="RPN",
    paper="https://arxiv.org/abs/1506.01497",
    entries=ENTRIES,
)
