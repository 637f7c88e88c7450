"""Mask R-CNN."""

from __future__ import annotations

import dataclasses

from typing_extensions import Unpack

from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.backbones.base import BackboneConfig
from detzoo.detectors.two_stage import TwoStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.dense.rpn import RPNHeadConfig
from detzoo.heads.roi.base import RegionPoolingConfig
from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.heads.roi.extractor import PyramidRoIAlignConfig
from detzoo.heads.roi.mask_head import MaskHeadConfig
from detzoo.heads.roi.shared_stage import SharedStageConfig
from detzoo.heads.roi.standard import StandardRoIHeadConfig
from detzoo.losses.boxes import BoxLoss, L1Loss, SmoothL1Loss
from detzoo.necks.base import NeckConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.optimizers import SGDConfig
from detzoo.optim.schedules import epochs
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.faster_rcnn import SAMPLER, single_level_rpn
from detzoo.zoo.parts import (
    EPOCHS_24_CAFFE,
    EPOCHS_36_CAFFE,
    RANGE_3X,
    SIX_SIZES,
    Recipe,
    caffe2_resnext_32x8d,
    caffe_resnet,
    experiment,
    resnet,
    resnext,
)
from detzoo.zoo.rpn import c4


def mask_rcnn(
    backbone: BackboneConfig = resnet(50),
    *,
    neck: NeckConfig = FPNConfig(),
    extractor: RegionPoolingConfig = PyramidRoIAlignConfig(),
    rpn_box_loss: BoxLoss = L1Loss(),
    box_head: BoxHeadConfig = BoxHeadConfig(),
    mask_head: MaskHeadConfig = MaskHeadConfig(),
    select: Select = Select(min_score=0.05, suppression=NMS(max_iou=0.5)),
    **recipe: Unpack[Recipe],
) -> Experiment:
    """Mask R-CNN with FPN: 28x28 masks from 14x14 RoI features."""
    roi_head = StandardRoIHeadConfig(
        extractor=extractor,
        box_head=box_head,
        mask_extractor=dataclasses.replace(extractor, output_size=14),
        mask_head=mask_head,
        assigner=MaxIoUAssigner(positive_iou=0.5, negative_iou=0.5, min_positive_iou=0.5),
        sampler=SAMPLER,
        select=select,
    )
    model = TwoStageConfig(
        backbone=backbone,
        neck=neck,
        rpn_head=RPNHeadConfig(box_loss=rpn_box_loss),
        roi_head=roi_head,
    )
    recipe.setdefault("masks", "bitmap")
    return experiment(model, **recipe)


def mask_rcnn_c4(**recipe: Unpack[Recipe]) -> Experiment:
    """C4 detector: RoI features from the third stage, processed by the fourth (Caffe ResNet-50).

    As in V2, whose configuration omits them here, the fourth stage has no pretrained weights.
    """
    backbone = caffe_resnet(50)
    roi_head = StandardRoIHeadConfig(
        extractor=PyramidRoIAlignConfig(output_size=14, num_levels=1),
        shared_stage=SharedStageConfig(resnet=dataclasses.replace(backbone, pretrained=None)),
        box_head=BoxHeadConfig(num_shared_fcs=0),
        mask_head=MaskHeadConfig(num_convs=0),
        sampler=SAMPLER,
    )
    model = TwoStageConfig(
        backbone=c4(backbone), rpn_head=single_level_rpn(border=0.0), roi_head=roi_head
    )
    recipe.setdefault("masks", "bitmap")
    return experiment(model, **recipe)


def mask_rcnn_v1(**recipe: Unpack[Recipe]) -> Experiment:
    """Mask R-CNN as in MMDetection 1.x: unaligned RoIAlign, smooth L1 losses."""
    return mask_rcnn(
        caffe_resnet(50),
        extractor=PyramidRoIAlignConfig(sampling_ratio=2, aligned=False),
        rpn_box_loss=SmoothL1Loss(beta=1 / 9),
        box_head=BoxHeadConfig(box_loss=SmoothL1Loss(beta=1.0)),
        **recipe,
    )


ENTRIES = (
    Entry(
        "mask_rcnn_r101_caffe_fpn_1x_coco",
        mask_rcnn(caffe_resnet(101)),
        box_ap=40.4,
        mask_ap=36.4,
        weights="mask_rcnn_r101_caffe_fpn_1x_coco_20200601_095758-805e06c1.pth",
    ),
    Entry(
        "mask_rcnn_r101_caffe_fpn_mstrain-poly_3x_coco",
        mask_rcnn(caffe_resnet(101), masks="polygon", **RANGE_3X),
        box_ap=42.9,
        mask_ap=38.5,
        memory_gb=5.9,
        weights="mask_rcnn_r101_caffe_fpn_mstrain-poly_3x_coco_20210526_132339-3c33ce02.pth",
    ),
    Entry(
        "mask_rcnn_r101_fpn_1x_coco",
        mask_rcnn(resnet(101)),
        box_ap=40.0,
        mask_ap=36.1,
        memory_gb=6.4,
        inference_ms=74.07,
        weights="mask_rcnn_r101_fpn_1x_coco_20200204-1efe0ed5.pth",
    ),
    Entry(
        "mask_rcnn_r101_fpn_2x_coco",
        mask_rcnn(resnet(101), schedule=epochs(24)),
        box_ap=40.8,
        mask_ap=36.6,
        memory_gb=6.4,
        inference_ms=74.07,
        weights="mask_rcnn_r101_fpn_2x_coco_bbox_mAP-0.408__segm_mAP-0.366_20200505_071027-14b391c7.pth",
    ),
    Entry(
        "mask_rcnn_r101_fpn_mstrain-poly_3x_coco",
        mask_rcnn(resnet(101), masks="polygon", **RANGE_3X),
        box_ap=42.7,
        mask_ap=38.5,
        memory_gb=6.1,
        weights="mask_rcnn_r101_fpn_mstrain-poly_3x_coco_20210524_200244-5675c317.pth",
    ),
    Entry("mask_rcnn_r50_caffe_c4_1x_coco", mask_rcnn_c4(optimizer=SGDConfig(lr=0.01))),
    Entry(
        "mask_rcnn_r50_caffe_fpn_1x_coco",
        mask_rcnn(caffe_resnet(50)),
        box_ap=38.0,
        mask_ap=34.4,
        memory_gb=4.3,
        weights="mask_rcnn_r50_caffe_fpn_1x_coco_bbox_mAP-0.38__segm_mAP-0.344_20200504_231812-0ebd1859.pth",
    ),
    Entry(
        "mask_rcnn_r50_caffe_fpn_mstrain-poly_1x_coco",
        mask_rcnn(caffe_resnet(50), masks="polygon", sizes=SIX_SIZES),
        box_ap=38.8,
        mask_ap=35.4,
        weights="benchmark/mask_rcnn_r50_caffe_fpn_mstrain-poly_1x_coco/mask_rcnn_r50_caffe_fpn_mstrain-poly_1x_coco-dbecf295.pth",
    ),
    Entry(
        "mask_rcnn_r50_caffe_fpn_mstrain-poly_2x_coco",
        mask_rcnn(caffe_resnet(50), masks="polygon", sizes=SIX_SIZES, schedule=EPOCHS_24_CAFFE),
        box_ap=40.3,
        mask_ap=36.5,
        memory_gb=4.3,
        weights="mask_rcnn_r50_caffe_fpn_mstrain-poly_2x_coco_bbox_mAP-0.403__segm_mAP-0.365_20200504_231822-a75c98ce.pth",
    ),
    Entry(
        "mask_rcnn_r50_caffe_fpn_mstrain-poly_3x_coco",
        mask_rcnn(caffe_resnet(50), masks="polygon", sizes=SIX_SIZES, schedule=EPOCHS_36_CAFFE),
        box_ap=40.8,
        mask_ap=37.0,
        memory_gb=4.3,
        weights="mask_rcnn_r50_caffe_fpn_mstrain-poly_3x_coco_bbox_mAP-0.408__segm_mAP-0.37_20200504_163245-42aa3d00.pth",
    ),
    Entry("mask_rcnn_r50_caffe_fpn_mstrain_1x_coco", mask_rcnn(caffe_resnet(50), sizes=SIX_SIZES)),
    Entry(
        "mask_rcnn_r50_caffe_fpn_poly_1x_coco_v1",
        mask_rcnn_v1(masks="polygon"),
        weights="benchmark/mask_rcnn_r50_caffe_fpn_poly_1x_coco_no_aug/mask_rcnn_r50_caffe_fpn_poly_1x_coco_no_aug_compare_20200518-10127928.pth",
    ),
    Entry(
        "mask_rcnn_r50_fpn_1x_coco",
        mask_rcnn(),
        box_ap=38.2,
        mask_ap=34.7,
        memory_gb=4.4,
        inference_ms=62.11,
        weights="mask_rcnn_r50_fpn_1x_coco_20200205-d4b0c5d6.pth",
    ),
    Entry("mask_rcnn_r50_fpn_1x_wandb_coco", mask_rcnn(evaluate_every=2, checkpoint_every=4)),
    Entry(
        "mask_rcnn_r50_fpn_2x_coco",
        mask_rcnn(schedule=epochs(24)),
        box_ap=39.2,
        mask_ap=35.4,
        memory_gb=4.4,
        inference_ms=62.11,
        weights="mask_rcnn_r50_fpn_2x_coco_bbox_mAP-0.392__segm_mAP-0.354_20200505_003907-3e542a40.pth",
    ),
    Entry(
        "mask_rcnn_r50_fpn_fp16_1x_coco",
        mask_rcnn(precision="fp16", loss_scale=512.0),
        box_ap=38.1,
        mask_ap=34.7,
        memory_gb=3.6,
        inference_ms=41.49,
        weights="fp16/mask_rcnn_r50_fpn_fp16_1x_coco/mask_rcnn_r50_fpn_fp16_1x_coco_20200205-59faf7e4.pth",
    ),
    Entry(
        "mask_rcnn_r50_fpn_mstrain-poly_3x_coco",
        mask_rcnn(masks="polygon", **RANGE_3X),
        box_ap=40.9,
        mask_ap=37.1,
        memory_gb=4.1,
        weights="mask_rcnn_r50_fpn_mstrain-poly_3x_coco_20210524_201154-21b550bb.pth",
    ),
    Entry("mask_rcnn_r50_fpn_poly_1x_coco", mask_rcnn(masks="polygon")),
    Entry(
        "mask_rcnn_x101_32x4d_fpn_1x_coco",
        mask_rcnn(resnext(32, 4)),
        box_ap=41.9,
        mask_ap=37.5,
        memory_gb=7.6,
        inference_ms=88.5,
        weights="mask_rcnn_x101_32x4d_fpn_1x_coco_20200205-478d0b67.pth",
    ),
    Entry(
        "mask_rcnn_x101_32x4d_fpn_2x_coco",
        mask_rcnn(resnext(32, 4), schedule=epochs(24)),
        box_ap=42.2,
        mask_ap=37.8,
        memory_gb=7.6,
        inference_ms=88.5,
        weights="mask_rcnn_x101_32x4d_fpn_2x_coco_bbox_mAP-0.422__segm_mAP-0.378_20200506_004702-faef898c.pth",
    ),
    Entry(
        "mask_rcnn_x101_32x4d_fpn_mstrain-poly_3x_coco",
        mask_rcnn(resnext(32, 4), masks="polygon", **RANGE_3X),
        box_ap=43.6,
        mask_ap=39.0,
        memory_gb=7.3,
        weights="mask_rcnn_x101_32x4d_fpn_mstrain-poly_3x_coco_20210524_201410-abcd7859.pth",
    ),
    Entry(
        "mask_rcnn_x101_32x8d_fpn_1x_coco",
        mask_rcnn(caffe2_resnext_32x8d()),
        box_ap=42.8,
        mask_ap=38.3,
        memory_gb=10.6,
        weights="mask_rcnn_x101_32x8d_fpn_1x_coco_20220630_173841-0aaf329e.pth",
    ),
    Entry(
        "mask_rcnn_x101_32x8d_fpn_mstrain-poly_1x_coco",
        mask_rcnn(caffe2_resnext_32x8d(), masks="polygon", sizes=SIX_SIZES),
        box_ap=43.4,
        mask_ap=39.0,
        memory_gb=10.4,
        weights="mask_rcnn_x101_32x8d_fpn_mstrain-poly_1x_coco_20220630_170346-b4637974.pth",
    ),
    Entry(
        "mask_rcnn_x101_32x8d_fpn_mstrain-poly_3x_coco",
        mask_rcnn(caffe2_resnext_32x8d(), masks="polygon", **RANGE_3X),
        box_ap=44.3,
        memory_gb=10.3,
        weights="mask_rcnn_x101_32x8d_fpn_mstrain-poly_3x_coco_20210607_161042-8bd2c639.pth",
    ),
    Entry(
        "mask_rcnn_x101_64x4d_fpn_1x_coco",
        mask_rcnn(resnext(64, 4)),
        box_ap=42.8,
        mask_ap=38.4,
        memory_gb=10.7,
        inference_ms=125.0,
        weights="mask_rcnn_x101_64x4d_fpn_1x_coco_20200201-9352eb0d.pth",
    ),
    Entry(
        "mask_rcnn_x101_64x4d_fpn_2x_coco",
        mask_rcnn(resnext(64, 4), schedule=epochs(24)),
        box_ap=42.7,
        mask_ap=38.1,
        memory_gb=10.7,
        inference_ms=125.0,
        weights="mask_rcnn_x101_64x4d_fpn_2x_coco_20200509_224208-39d6f70c.pth",
    ),
    Entry(
        "mask_rcnn_x101_64x4d_fpn_mstrain-poly_3x_coco",
        mask_rcnn(resnext(64, 4), masks="polygon", **RANGE_3X),
        box_ap=44.5,
        mask_ap=39.7,
        memory_gb=10.4,
        weights="mask_rcnn_x101_64x4d_fpn_mstrain-poly_3x_coco_20210526_120447-c376f129.pth",
    ),
)

FAMILY = Family(
    folder="mask_rcnn",
    title="Mask R-CNN",
    paper="https://arxiv.org/abs/1703.06870",
    entries=ENTRIES,
)
