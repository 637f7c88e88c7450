"""CARAFE: content-aware upsampling."""

from __future__ import annotations

from detzoo.heads.roi.mask_head import MaskHeadConfig
from detzoo.necks.fpn_carafe import FPNCARAFEConfig
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.faster_rcnn import faster_rcnn
from detzoo.zoo.mask_rcnn import mask_rcnn

ENTRIES = (
    Entry(
        "faster_rcnn_r50_fpn_carafe_1x_coco",
        faster_rcnn(neck=FPNCARAFEConfig(), pad_divisor=64),
        box_ap=38.6,
        mask_ap=38.6,
        memory_gb=4.26,
        weights="faster_rcnn_r50_fpn_carafe_1x_coco_bbox_mAP-0.386_20200504_175733-385a75b7.pth",
    ),
    Entry(
        "mask_rcnn_r50_fpn_carafe_1x_coco",
        mask_rcnn(
            neck=FPNCARAFEConfig(), mask_head=MaskHeadConfig(upsampling="carafe"), pad_divisor=64
        ),
        box_ap=39.3,
        mask_ap=35.6,
        memory_gb=4.31,
        weights="mask_rcnn_r50_fpn_carafe_1x_coco_bbox_mAP-0.393__segm_mAP-0.358_20200503_135957-8687f195.pth",
    ),
)

FAMILY = Family(
    folder="carafe",
    title="CARAFE",
    paper="https://arxiv.org/abs/1905.02188",
    entries=ENTRIES,
)
