"""SSD, YOLO and the detectors of keypoints, narrow enough to run in a moment."""

from __future__ import annotations

import dataclasses

from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.heads.dense.ssd import SSDHeadConfig
from detzoo.heads.dense.yolov3 import YOLOv3HeadConfig
from detzoo.heads.dense.yolox import YOLOXHeadConfig
from detzoo.heads.heatmap.centernet import CenterNetHeadConfig
from detzoo.heads.heatmap.centripetal import CentripetalHeadConfig
from detzoo.heads.heatmap.corner import CornerHeadConfig
from detzoo.layers.norm import BatchNormConfig
from detzoo.necks.ct_resnet import CTResNetNeckConfig
from detzoo.necks.ssd import SSDNeckConfig
from detzoo.necks.yolov3 import YOLOv3NeckConfig
from detzoo.necks.yolox_pafpn import YOLOXPAFPNConfig
from detzoo.priors.ssd import SSDAnchors
from detzoo.priors.yolo import YOLOAnchors
from tests.detectors import models

NORM = BatchNormConfig(fixed_statistics=True)
ANCHORS = SSDAnchors(
    sizes=(16, 32, 60, 90, 120), ratios=((2,), (2, 3), (2, 3), (2,)), strides=(8, 16, 32, 64)
)
YOLO_ANCHORS = YOLOAnchors(
    sizes=(
        ((60, 50), (70, 90), (120, 90)),
        ((20, 30), (30, 20), (40, 40)),
        ((8, 8), (10, 20), (20, 10)),
    )
)
SSD = (
    SSDNeckConfig(channels=(32, 32), strides=(2, 2), paddings=(1, 1)),
    SSDHeadConfig(priors=ANCHORS),
)
SSDLITE = (
    dataclasses.replace(SSD[0], separable_norm=NORM, l2_norm_scale=None),
    dataclasses.replace(SSD[1], separable_norm=NORM),
)
PARTS = {
    "ssd": ((1, 2), *SSD),
    "ssdlite": ((1, 2), *SSDLITE),
    "yolov3": (
        (1, 2, 3),
        YOLOv3NeckConfig(out_channels=(32, 16, 16), norm=NORM),
        YOLOv3HeadConfig(anchors=YOLO_ANCHORS, channels=(32, 32, 32), norm=NORM),
    ),
    "yolox": (
        (1, 2, 3),
        YOLOXPAFPNConfig(out_channels=32, num_blocks=1, norm=NORM),
        YOLOXHeadConfig(channels=32, num_convs=1, norm=NORM),
    ),
    "yolox-nano": (
        (1, 2, 3),
        YOLOXPAFPNConfig(out_channels=16, num_blocks=1, depthwise=True, norm=NORM),
        YOLOXHeadConfig(channels=16, num_convs=1, depthwise=True, norm=NORM),
    ),
    "centernet": (
        (3,),
        CTResNetNeckConfig(channels=(32, 16, 16), norm=NORM),
        CenterNetHeadConfig(channels=16),
    ),
    "cornernet": ((0,), None, CornerHeadConfig()),
    "centripetalnet": ((0,), None, CentripetalHeadConfig()),
}


def detector(name: str, *, base_channels: int = 8) -> SingleStageConfig:
    """The neck and head of ``PARTS`` on a narrow ResNet-18."""
    out_stages, neck, head = PARTS[name]
    backbone = dataclasses.replace(
        models.BACKBONE,
        base_channels=base_channels,
        frozen_stages=-1,
        out_stages=out_stages,
        strides=(1, 2, 2, 2)[: max(out_stages) + 1],
        dilations=(1,) * (max(out_stages) + 1),
    )
    return SingleStageConfig(backbone=backbone, neck=neck, bbox_head=head)
