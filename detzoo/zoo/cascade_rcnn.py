"""Cascade R-CNN and Cascade Mask R-CNN."""

from __future__ import annotations

import dataclasses

from typing_extensions import Unpack

from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.backbones.base import BackboneConfig
from detzoo.coders.delta import DeltaCoder
from detzoo.detectors.two_stage import TwoStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.base import RoIHeadConfig
from detzoo.heads.dense.rpn import RPNHeadConfig
from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.heads.roi.cascade import CascadeRoIHeadConfig, CascadeStage
from detzoo.heads.roi.extractor import PyramidRoIAlignConfig
from detzoo.heads.roi.mask_head import MaskHeadConfig
from detzoo.losses.boxes import SmoothL1Loss
from detzoo.necks.base import NeckConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.schedules import epochs
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.samplers.random import RandomSampler
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import (
    RANGE_3X,
    Recipe,
    caffe2_resnext_32x8d,
    caffe_resnet,
    experiment,
    resnet,
    resnext,
)
from detzoo.zoo.rpn import proposals

# Box head of each stage, except for its coder: class-agnostic refinement.
BOX_HEAD = BoxHeadConfig(class_agnostic_boxes=True, box_loss=SmoothL1Loss(beta=1.0))
EPOCHS_20 = epochs(20, milestones=(16, 19))


def cascade_rcnn(
    backbone: BackboneConfig = resnet(50),
    *,
    neck: NeckConfig = FPNConfig(),
    stages: tuple[CascadeStage, ...] | None = None,
    **recipe: Unpack[Recipe],
) -> Experiment:
    """Cascade R-CNN with FPN: three stages of box refinement."""
    roi_head = CascadeRoIHeadConfig(stages=stages or cascade_stages())
    return experiment(cascade_model(backbone, neck, roi_head), **recipe)


def cascade_mask_rcnn(
    backbone: BackboneConfig = resnet(50),
    *,
    neck: NeckConfig = FPNConfig(),
    stages: tuple[CascadeStage, ...] | None = None,
    mask_head: MaskHeadConfig = MaskHeadConfig(),
    select: Select = Select(min_score=0.05, suppression=NMS(max_iou=0.5)),
    **recipe: Unpack[Recipe],
) -> Experiment:
    """The same with a mask head per stage."""
    roi_head = CascadeRoIHeadConfig(
        stages=stages or cascade_stages(),
        mask_extractor=PyramidRoIAlignConfig(output_size=14),
        mask_head=mask_head,
        select=select,
    )
    recipe.setdefault("masks", "bitmap")
    return experiment(cascade_model(backbone, neck, roi_head), **recipe)


def cascade_stages(
    box_head: BoxHeadConfig = BOX_HEAD, *, match_low_quality: bool = False
) -> tuple[CascadeStage, ...]:
    """Three stages, each trained on better boxes and for smaller refinements than the previous one."""
    stages = []
    for iou, stds, weight in (
        (0.5, (0.1, 0.1, 0.2, 0.2), 1.0),
        (0.6, (0.05, 0.05, 0.1, 0.1), 0.5),
        (0.7, (0.033, 0.033, 0.067, 0.067), 0.25),
    ):
        stages.append(
            CascadeStage(
                box_head=dataclasses.replace(box_head, coder=DeltaCoder(stds=stds)),
                assigner=MaxIoUAssigner(
                    positive_iou=iou,
                    negative_iou=iou,
                    min_positive_iou=iou,
                    match_low_quality=match_low_quality,
                ),
                sampler=RandomSampler(num=512, positive_fraction=0.25, adds_targets=True),
                loss_weight=weight,
            )
        )
    return tuple(stages)


def cascade_model(
    backbone: BackboneConfig, neck: NeckConfig, roi_head: RoIHeadConfig
) -> TwoStageConfig:
    """The RPN of a cascade is trained on anchors inside the image, and passes on twice as many
    proposals.
    """
    rpn_head = RPNHeadConfig(
        box_loss=SmoothL1Loss(beta=1 / 9),
        border=0.0,
        train_select=proposals(2000, max_detections=2000),
    )
    return TwoStageConfig(backbone=backbone, neck=neck, rpn_head=rpn_head, roi_head=roi_head)


ENTRIES = (
    Entry(
        "cascade_mask_rcnn_r101_caffe_fpn_1x_coco",
        cascade_mask_rcnn(caffe_resnet(101)),
        box_ap=43.2,
        mask_ap=37.6,
        memory_gb=7.8,
        weights="cascade_mask_rcnn_r101_caffe_fpn_1x_coco_bbox_mAP-0.432__segm_mAP-0.376_20200504_174813-5c1e9599.pth",
    ),
    Entry(
        "cascade_mask_rcnn_r101_caffe_fpn_mstrain_3x_coco",
        cascade_mask_rcnn(caffe_resnet(101), **RANGE_3X),
        box_ap=45.4,
        mask_ap=39.5,
        memory_gb=7.7,
        weights="cascade_mask_rcnn_r101_caffe_fpn_mstrain_3x_coco_20210707_002620-a5bd2389.pth",
    ),
    Entry(
        "cascade_mask_rcnn_r101_fpn_1x_coco",
        cascade_mask_rcnn(resnet(101)),
        box_ap=42.9,
        mask_ap=37.3,
        memory_gb=7.9,
        inference_ms=102.04,
        weights="cascade_mask_rcnn_r101_fpn_1x_coco_20200203-befdf6ee.pth",
    ),
    Entry(
        "cascade_mask_rcnn_r101_fpn_20e_coco",
        cascade_mask_rcnn(resnet(101), schedule=EPOCHS_20),
        box_ap=43.4,
        mask_ap=37.8,
        memory_gb=7.9,
        inference_ms=102.04,
        weights="cascade_mask_rcnn_r101_fpn_20e_coco_bbox_mAP-0.434__segm_mAP-0.378_20200504_174836-005947da.pth",
    ),
    Entry(
        "cascade_mask_rcnn_r101_fpn_mstrain_3x_coco",
        cascade_mask_rcnn(resnet(101), **RANGE_3X),
        box_ap=45.5,
        mask_ap=39.6,
        memory_gb=7.8,
        weights="cascade_mask_rcnn_r101_fpn_mstrain_3x_coco_20210628_165236-51a2d363.pth",
    ),
    Entry(
        "cascade_mask_rcnn_r50_caffe_fpn_1x_coco",
        cascade_mask_rcnn(caffe_resnet(50)),
        box_ap=41.2,
        mask_ap=36.0,
        memory_gb=5.9,
        weights="cascade_mask_rcnn_r50_caffe_fpn_1x_coco_bbox_mAP-0.412__segm_mAP-0.36_20200504_174659-5004b251.pth",
    ),
    Entry(
        "cascade_mask_rcnn_r50_caffe_fpn_mstrain_3x_coco",
        cascade_mask_rcnn(caffe_resnet(50), **RANGE_3X),
        box_ap=44.0,
        mask_ap=38.1,
        memory_gb=5.7,
        weights="cascade_mask_rcnn_r50_caffe_fpn_mstrain_3x_coco_20210707_002651-6e29b3a6.pth",
    ),
    Entry(
        "cascade_mask_rcnn_r50_fpn_1x_coco",
        cascade_mask_rcnn(),
        box_ap=41.2,
        mask_ap=35.9,
        memory_gb=6.0,
        inference_ms=89.29,
        weights="cascade_mask_rcnn_r50_fpn_1x_coco_20200203-9d4dcb24.pth",
    ),
    Entry(
        "cascade_mask_rcnn_r50_fpn_20e_coco",
        cascade_mask_rcnn(schedule=EPOCHS_20),
        box_ap=41.9,
        mask_ap=36.5,
        memory_gb=6.0,
        inference_ms=89.29,
        weights="cascade_mask_rcnn_r50_fpn_20e_coco_bbox_mAP-0.419__segm_mAP-0.365_20200504_174711-4af8e66e.pth",
    ),
    Entry(
        "cascade_mask_rcnn_r50_fpn_mstrain_3x_coco",
        cascade_mask_rcnn(**RANGE_3X),
        box_ap=44.3,
        mask_ap=38.5,
        memory_gb=5.9,
        weights="cascade_mask_rcnn_r50_fpn_mstrain_3x_coco_20210628_164719-5bdc3824.pth",
    ),
    Entry(
        "cascade_mask_rcnn_x101_32x4d_fpn_1x_coco",
        cascade_mask_rcnn(resnext(32, 4)),
        box_ap=44.3,
        mask_ap=38.3,
        memory_gb=9.2,
        inference_ms=116.28,
        weights="cascade_mask_rcnn_x101_32x4d_fpn_1x_coco_20200201-0f411b1f.pth",
    ),
    Entry(
        "cascade_mask_rcnn_x101_32x4d_fpn_20e_coco",
        cascade_mask_rcnn(resnext(32, 4), schedule=EPOCHS_20),
        box_ap=45.0,
        mask_ap=39.0,
        memory_gb=9.2,
        inference_ms=116.28,
        weights="cascade_mask_rcnn_x101_32x4d_fpn_20e_coco_20200528_083917-ed1f4751.pth",
    ),
    Entry(
        "cascade_mask_rcnn_x101_32x4d_fpn_mstrain_3x_coco",
        cascade_mask_rcnn(resnext(32, 4), **RANGE_3X),
        box_ap=46.3,
        mask_ap=40.1,
        memory_gb=9.0,
        weights="cascade_mask_rcnn_x101_32x4d_fpn_mstrain_3x_coco_20210706_225234-40773067.pth",
    ),
    Entry(
        "cascade_mask_rcnn_x101_32x8d_fpn_mstrain_3x_coco",
        cascade_mask_rcnn(caffe2_resnext_32x8d(), **RANGE_3X),
        box_ap=46.1,
        mask_ap=39.9,
        memory_gb=12.1,
        weights="cascade_mask_rcnn_x101_32x8d_fpn_mstrain_3x_coco_20210719_180640-9ff7e76f.pth",
    ),
    Entry(
        "cascade_mask_rcnn_x101_64x4d_fpn_1x_coco",
        cascade_mask_rcnn(resnext(64, 4)),
        box_ap=45.3,
        mask_ap=39.2,
        memory_gb=12.2,
        inference_ms=149.25,
        weights="cascade_mask_rcnn_x101_64x4d_fpn_1x_coco_20200203-9a2db89d.pth",
    ),
    Entry(
        "cascade_mask_rcnn_x101_64x4d_fpn_20e_coco",
        cascade_mask_rcnn(resnext(64, 4), schedule=EPOCHS_20),
        box_ap=45.6,
        mask_ap=39.5,
        memory_gb=12.2,
        weights="cascade_mask_rcnn_x101_64x4d_fpn_20e_coco_20200512_161033-bdb5126a.pth",
    ),
    Entry(
        "cascade_mask_rcnn_x101_64x4d_fpn_mstrain_3x_coco",
        cascade_mask_rcnn(resnext(64, 4), **RANGE_3X),
        box_ap=46.6,
        mask_ap=40.3,
        memory_gb=12.0,
        weights="cascade_mask_rcnn_x101_64x4d_fpn_mstrain_3x_coco_20210719_210311-d3e64ba0.pth",
    ),
    Entry(
        "cascade_rcnn_r101_caffe_fpn_1x_coco",
        cascade_rcnn(caffe_resnet(101)),
        box_ap=42.3,
        memory_gb=6.2,
        weights="cascade_rcnn_r101_caffe_fpn_1x_coco_bbox_mAP-0.423_20200504_175649-cab8dbd5.pth",
    ),
    Entry(
        "cascade_rcnn_r101_fpn_1x_coco",
        cascade_rcnn(resnet(101)),
        box_ap=42.0,
        memory_gb=6.4,
        inference_ms=74.07,
        weights="cascade_rcnn_r101_fpn_1x_coco_20200317-0b6a2fbf.pth",
    ),
    Entry(
        "cascade_rcnn_r101_fpn_20e_coco",
        cascade_rcnn(resnet(101), schedule=EPOCHS_20),
        box_ap=42.5,
        memory_gb=6.4,
        inference_ms=74.07,
        weights="cascade_rcnn_r101_fpn_20e_coco_bbox_mAP-0.425_20200504_231812-5057dcc5.pth",
    ),
    Entry(
        "cascade_rcnn_r50_caffe_fpn_1x_coco",
        cascade_rcnn(caffe_resnet(50)),
        box_ap=40.4,
        memory_gb=4.2,
        weights="cascade_rcnn_r50_caffe_fpn_1x_coco_bbox_mAP-0.404_20200504_174853-b857be87.pth",
    ),
    Entry(
        "cascade_rcnn_r50_fpn_1x_coco",
        cascade_rcnn(),
        box_ap=40.3,
        memory_gb=4.4,
        inference_ms=62.11,
        weights="cascade_rcnn_r50_fpn_1x_coco_20200316-3dc56deb.pth",
    ),
    Entry(
        "cascade_rcnn_r50_fpn_20e_coco",
        cascade_rcnn(schedule=EPOCHS_20),
        box_ap=41.0,
        memory_gb=4.4,
        inference_ms=62.11,
        weights="cascade_rcnn_r50_fpn_20e_coco_bbox_mAP-0.41_20200504_175131-e9872a90.pth",
    ),
    Entry(
        "cascade_rcnn_x101_32x4d_fpn_1x_coco",
        cascade_rcnn(resnext(32, 4)),
        box_ap=43.7,
        memory_gb=7.6,
        inference_ms=91.74,
        weights="cascade_rcnn_x101_32x4d_fpn_1x_coco_20200316-95c2deb6.pth",
    ),
    Entry(
        "cascade_rcnn_x101_32x4d_fpn_20e_coco",
        cascade_rcnn(resnext(32, 4), schedule=EPOCHS_20),
        box_ap=43.7,
        memory_gb=7.6,
        weights="cascade_rcnn_x101_32x4d_fpn_20e_coco_20200906_134608-9ae0a720.pth",
    ),
    Entry(
        "cascade_rcnn_x101_64x4d_fpn_1x_coco",
        cascade_rcnn(resnext(64, 4)),
        box_ap=44.7,
        memory_gb=10.7,
        weights="cascade_rcnn_x101_64x4d_fpn_1x_coco_20200515_075702-43ce6a30.pth",
    ),
    Entry(
        "cascade_rcnn_x101_64x4d_fpn_20e_coco",
        cascade_rcnn(resnext(64, 4), schedule=EPOCHS_20),
        box_ap=44.5,
        memory_gb=10.7,
        weights="cascade_rcnn_x101_64x4d_fpn_20e_coco_20200509_224357-051557b1.pth",
    ),
)

FAMILY = Family(
    folder="cascade_rcnn",
    title="Cascade R-CNN",
    paper="https://arxiv.org/abs/1712.00726",
    entries=ENTRIES,
)
