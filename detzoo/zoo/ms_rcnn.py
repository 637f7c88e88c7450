"""Mask Scoring R-CNN."""

from __future__ import annotations

from typing_extensions import Unpack

from detzoo.backbones.resnet import ResNetConfig
from detzoo.detectors.two_stage import TwoStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.dense.rpn import RPNHeadConfig
from detzoo.heads.roi.mask_scoring import MaskScoringRoIHeadConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.schedules import epochs
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import Recipe, caffe_resnet, experiment, resnet, resnext


def ms_rcnn(backbone: ResNetConfig = resnet(50), **recipe: Unpack[Recipe]) -> Experiment:
    """Mask R-CNN with a mask IoU head."""
    model = TwoStageConfig(
        backbone=backbone,
        neck=FPNConfig(),
        rpn_head=RPNHeadConfig(),
        roi_head=MaskScoringRoIHeadConfig(),
    )
    recipe.setdefault("masks", "bitmap")
    return experiment(model, **recipe)


ENTRIES = (
    Entry(
        "ms_rcnn_r101_caffe_fpn_1x_coco",
        ms_rcnn(caffe_resnet(101)),
        box_ap=40.4,
        mask_ap=37.6,
        memory_gb=6.5,
        weights="ms_rcnn_r101_caffe_fpn_1x_coco_bbox_mAP-0.404__segm_mAP-0.376_20200506_004755-b9b12a37.pth",
    ),
    Entry(
        "ms_rcnn_r101_caffe_fpn_2x_coco",
        ms_rcnn(caffe_resnet(101), schedule=epochs(24)),
        box_ap=41.1,
        mask_ap=38.1,
        weights="ms_rcnn_r101_caffe_fpn_2x_coco_bbox_mAP-0.411__segm_mAP-0.381_20200506_011134-5f3cc74f.pth",
    ),
    Entry(
        "ms_rcnn_r50_caffe_fpn_1x_coco",
        ms_rcnn(caffe_resnet(50)),
        box_ap=38.2,
        mask_ap=36.0,
        memory_gb=4.5,
        weights="ms_rcnn_r50_caffe_fpn_1x_coco_20200702_180848-61c9355e.pth",
    ),
    Entry(
        "ms_rcnn_r50_caffe_fpn_2x_coco",
        ms_rcnn(caffe_resnet(50), schedule=epochs(24)),
        box_ap=38.8,
        mask_ap=36.3,
        weights="ms_rcnn_r50_caffe_fpn_2x_coco_bbox_mAP-0.388__segm_mAP-0.363_20200506_004738-ee87b137.pth",
    ),
    Entry(
        "ms_rcnn_r50_fpn_1x_coco",
        ms_rcnn(),
    ),
    Entry(
        "ms_rcnn_x101_32x4d_fpn_1x_coco",
        ms_rcnn(resnext(32, 4)),
        box_ap=41.8,
        mask_ap=38.7,
        memory_gb=7.9,
        inference_ms=90.91,
        weights="ms_rcnn_x101_32x4d_fpn_1x_coco_20200206-81fd1740.pth",
    ),
    Entry(
        "ms_rcnn_x101_64x4d_fpn_1x_coco",
        ms_rcnn(resnext(64, 4)),
        box_ap=43.0,
        mask_ap=39.5,
        memory_gb=11.0,
        inference_ms=125.0,
        weights="ms_rcnn_x101_64x4d_fpn_1x_coco_20200206-86ba88d2.pth",
    ),
    Entry(
        "ms_rcnn_x101_64x4d_fpn_2x_coco",
        ms_rcnn(resnext(64, 4), schedule=epochs(24)),
        box_ap=42.6,
        mask_ap=39.5,
        memory_gb=11.0,
        inference_ms=125.0,
        weights="ms_rcnn_x101_64x4d_fpn_2x_coco_20200308-02a445e2.pth",
    ),
)

FAMILY = Family(
    folder="ms_rcnn",
    title="Mask Scoring R-CNN",
    paper="https://arxiv.org/abs/1903.00241",
    entries=ENTRIES,
)
