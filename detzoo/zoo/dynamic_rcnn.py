"""Dynamic R-CNN."""

from __future__ import annotations

from detzoo.detectors.two_stage import TwoStageConfig
from detzoo.heads.dense.rpn import RPNHeadConfig
from detzoo.heads.roi.dynamic import DynamicRoIHeadConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import experiment, resnet

# Keeps good proposals that are close to each other.
DYNAMIC_RCNN = TwoStageConfig(
    backbone=resnet(50),
    neck=FPNConfig(),
    rpn_head=RPNHeadConfig(
        select=Select(
            min_score=0.0, pre_nms=1000, suppression=NMS(max_iou=0.85), max_detections=1000
        ),
        train_select=Select(
            min_score=0.0, pre_nms=2000, suppression=NMS(max_iou=0.85), max_detections=1000
        ),
    ),
    roi_head=DynamicRoIHeadConfig(),
)

ENTRIES = (
    Entry(
        "dynamic_rcnn_r50_fpn_1x_coco",
        experiment(DYNAMIC_RCNN),
        box_ap=38.9,
        memory_gb=3.8,
        weights="dynamic_rcnn/dynamic_rcnn_r50_fpn_1x/dynamic_rcnn_r50_fpn_1x-62a3f276.pth",
    ),
)

FAMILY = Family(
    folder="dynamic_rcnn",
    title="Dynamic R-CNN",
    paper="https://arxiv.org/abs/2004.06002",
    entries=ENTRIES,
)
