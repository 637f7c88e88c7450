"""Faster R-CNN."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from typing_extensions import Unpack

from detzoo.backbones.base import BackboneConfig
from detzoo.detectors.two_stage import TwoStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.dense.rpn import RPNHeadConfig
from detzoo.heads.roi.base import RegionBoxHeadConfig, RegionPoolingConfig
from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.heads.roi.extractor import PyramidRoIAlignConfig
from detzoo.heads.roi.shared_stage import SharedStageConfig
from detzoo.heads.roi.standard import StandardRoIHeadConfig
from detzoo.losses.boxes import BoundedIoULoss, CIoULoss, GIoULoss, IoULoss
from detzoo.necks.base import NeckConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.optimizers import AdamWConfig
from detzoo.optim.schedules import epochs
from detzoo.postprocess.nms import NMS, SoftNMS, Suppression
from detzoo.postprocess.select import Select
from detzoo.samplers.base import Sampler
from detzoo.samplers.ohem import OHEMSampler
from detzoo.samplers.random import RandomSampler
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import (
    EPOCHS_24_CAFFE,
    EPOCHS_36_CAFFE,
    ITERATIONS_90K,
    RANGE_3X,
    SIX_SIZES,
    Recipe,
    caffe2_resnext_32x8d,
    caffe_resnet,
    experiment,
    resnet,
    resnext,
)
from detzoo.zoo.rpn import SINGLE_LEVEL_ANCHORS, c4, proposals

# ResNet-50 from torchvision's second recipe ("ResNet strikes back").
TNR_RESNET = dataclasses.replace(
    resnet(50), pretrained="torchvision://{architecture}.imagenet1k_v2"
)
SAMPLER = RandomSampler(num=512, positive_fraction=0.25, adds_targets=True)


def faster_rcnn(
    backbone: BackboneConfig = resnet(50),
    *,
    neck: NeckConfig = FPNConfig(),
    extractor: RegionPoolingConfig = PyramidRoIAlignConfig(),
    box_head: RegionBoxHeadConfig = BoxHeadConfig(),
    sampler: Sampler = SAMPLER,
    suppression: Suppression = NMS(max_iou=0.5),
    **recipe: Unpack[Recipe],
) -> Experiment:
    """Faster R-CNN with FPN (https://arxiv.org/abs/1612.03144): levels P2-P6, two hidden layers."""
    roi_head = StandardRoIHeadConfig(
        extractor=extractor,
        box_head=box_head,
        sampler=sampler,
        select=Select(min_score=0.05, suppression=suppression),
    )
    model = TwoStageConfig(
        backbone=backbone, neck=neck, rpn_head=RPNHeadConfig(), roi_head=roi_head
    )
    return experiment(model, **recipe)


def single_level_rpn(border: float | None) -> RPNHeadConfig:
    """RPN on a single feature map of stride 16."""
    return RPNHeadConfig(
        priors=SINGLE_LEVEL_ANCHORS,
        border=border,
        select=proposals(6000),
        train_select=proposals(12000, max_detections=2000),
    )


def faster_rcnn_c4(**recipe: Unpack[Recipe]) -> Experiment:
    """C4 detector: RoI features from the third stage, processed by the fourth (Caffe ResNet-50)."""
    backbone = caffe_resnet(50)
    roi_head = StandardRoIHeadConfig(
        extractor=PyramidRoIAlignConfig(output_size=14, num_levels=1),
        shared_stage=SharedStageConfig(resnet=backbone),
        box_head=BoxHeadConfig(num_shared_fcs=0),
        sampler=SAMPLER,
    )
    model = TwoStageConfig(
        backbone=c4(backbone), rpn_head=single_level_rpn(border=None), roi_head=roi_head
    )
    return experiment(model, **recipe)


def faster_rcnn_dc5(**recipe: Unpack[Recipe]) -> Experiment:
    """DC5 detector: RoI features from the fourth stage, dilated to stride 16 (Caffe ResNet-50)."""
    backbone = dataclasses.replace(
        caffe_resnet(50), strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2), out_stages=(3,)
    )
    roi_head = StandardRoIHeadConfig(extractor=PyramidRoIAlignConfig(num_levels=1), sampler=SAMPLER)
    model = TwoStageConfig(
        backbone=backbone, rpn_head=single_level_rpn(border=0.0), roi_head=roi_head
    )
    return experiment(model, **recipe)


def some_classes(names: Sequence[str]) -> Experiment:
    """A detector of some of COCO's classes, initialized with the published weights for all."""
    return faster_rcnn(
        caffe_resnet(50),
        sizes=SIX_SIZES,
        class_names=tuple(names),
        initial_weights="faster_rcnn_r50_caffe_fpn_mstrain_3x_coco",
    )


ENTRIES = (
    Entry(
        "faster_rcnn_r101_caffe_fpn_1x_coco",
        faster_rcnn(caffe_resnet(101)),
        box_ap=39.8,
        memory_gb=5.7,
        weights="faster_rcnn_r101_caffe_fpn_1x_coco_bbox_mAP-0.398_20200504_180057-b269e9dd.pth",
    ),
    Entry(
        "faster_rcnn_r101_caffe_fpn_mstrain_3x_coco",
        faster_rcnn(caffe_resnet(101), **RANGE_3X),
        box_ap=42.0,
        memory_gb=5.6,
        weights="faster_rcnn_r101_caffe_fpn_mstrain_3x_coco_20210526_095742-a7ae426d.pth",
    ),
    Entry(
        "faster_rcnn_r101_fpn_1x_coco",
        faster_rcnn(resnet(101)),
        box_ap=39.4,
        memory_gb=6.0,
        inference_ms=64.1,
        weights="faster_rcnn_r101_fpn_1x_coco_20200130-f513f705.pth",
    ),
    Entry(
        "faster_rcnn_r101_fpn_2x_coco",
        faster_rcnn(resnet(101), schedule=epochs(24)),
        box_ap=39.8,
        memory_gb=6.0,
        inference_ms=64.1,
        weights="faster_rcnn_r101_fpn_2x_coco_bbox_mAP-0.398_20200504_210455-1d2dac9c.pth",
    ),
    Entry(
        "faster_rcnn_r101_fpn_mstrain_3x_coco",
        faster_rcnn(resnet(101), **RANGE_3X),
        box_ap=41.8,
        memory_gb=5.8,
        weights="faster_rcnn_r101_fpn_mstrain_3x_coco_20210524_110822-4d4d2ca8.pth",
    ),
    Entry(
        "faster_rcnn_r50_caffe_c4_1x_coco",
        faster_rcnn_c4(),
        box_ap=35.6,
        weights="faster_rcnn_r50_caffe_c4_1x_coco_20220316_150152-3f885b85.pth",
    ),
    Entry(
        "faster_rcnn_r50_caffe_c4_mstrain_1x_coco",
        faster_rcnn_c4(sizes=SIX_SIZES),
        box_ap=35.9,
        weights="faster_rcnn_r50_caffe_c4_mstrain_1x_coco_20220316_150527-db276fed.pth",
    ),
    Entry(
        "faster_rcnn_r50_caffe_dc5_1x_coco",
        faster_rcnn_dc5(),
        box_ap=37.2,
        weights="faster_rcnn_r50_caffe_dc5_1x_coco_20201030_151909-531f0f43.pth",
    ),
    Entry(
        "faster_rcnn_r50_caffe_dc5_mstrain_1x_coco",
        faster_rcnn_dc5(sizes=SIX_SIZES),
        box_ap=37.4,
        weights="faster_rcnn_r50_caffe_dc5_mstrain_1x_coco_20201028_233851-b33d21b9.pth",
    ),
    Entry(
        "faster_rcnn_r50_caffe_dc5_mstrain_3x_coco",
        faster_rcnn_dc5(sizes=SIX_SIZES, schedule=EPOCHS_36_CAFFE),
        box_ap=38.7,
        weights="faster_rcnn_r50_caffe_dc5_mstrain_3x_coco_20201028_002107-34a53b2c.pth",
    ),
    Entry(
        "faster_rcnn_r50_caffe_fpn_1x_coco",
        faster_rcnn(caffe_resnet(50)),
        box_ap=37.8,
        memory_gb=3.8,
        weights="faster_rcnn_r50_caffe_fpn_1x_coco_bbox_mAP-0.378_20200504_180032-c5925ee5.pth",
    ),
    Entry("faster_rcnn_r50_caffe_fpn_90k_coco", faster_rcnn(caffe_resnet(50), **ITERATIONS_90K)),
    Entry(
        "faster_rcnn_r50_caffe_fpn_mstrain_1x_coco",
        faster_rcnn(caffe_resnet(50), sizes=SIX_SIZES),
        box_ap=38.0,
        weights="benchmark/faster_rcnn_r50_caffe_fpn_mstrain_1x_coco/faster_rcnn_r50_caffe_fpn_mstrain_1x_coco-5324cff8.pth",
    ),
    Entry("faster_rcnn_r50_caffe_fpn_mstrain_1x_coco-person", some_classes(("person",))),
    Entry(
        "faster_rcnn_r50_caffe_fpn_mstrain_1x_coco-person-bicycle-car",
        some_classes(
            (
                "person",
                "bicycle",
                "car",
            )
        ),
    ),
    Entry(
        "faster_rcnn_r50_caffe_fpn_mstrain_2x_coco",
        faster_rcnn(caffe_resnet(50), sizes=SIX_SIZES, schedule=EPOCHS_24_CAFFE),
        box_ap=39.7,
        memory_gb=4.3,
        weights="faster_rcnn_r50_caffe_fpn_mstrain_2x_coco_bbox_mAP-0.397_20200504_231813-10b2de58.pth",
    ),
    Entry(
        "faster_rcnn_r50_caffe_fpn_mstrain_3x_coco",
        faster_rcnn(caffe_resnet(50), **RANGE_3X),
        box_ap=39.9,
        memory_gb=3.7,
        weights="faster_rcnn_r50_caffe_fpn_mstrain_3x_coco_20210526_095054-1f77628b.pth",
    ),
    Entry(
        "faster_rcnn_r50_caffe_fpn_mstrain_90k_coco",
        faster_rcnn(caffe_resnet(50), sizes=SIX_SIZES, **ITERATIONS_90K),
    ),
    Entry(
        "faster_rcnn_r50_fpn_1x_coco",
        faster_rcnn(),
        box_ap=37.4,
        memory_gb=4.0,
        inference_ms=46.73,
        weights="faster_rcnn_r50_fpn_1x_coco_20200130-047c8118.pth",
    ),
    Entry(
        "faster_rcnn_r50_fpn_2x_coco",
        faster_rcnn(schedule=epochs(24)),
        box_ap=38.4,
        memory_gb=4.0,
        inference_ms=46.73,
        weights="faster_rcnn_r50_fpn_2x_coco_bbox_mAP-0.384_20200504_210434-a5d8aa15.pth",
    ),
    Entry(
        "faster_rcnn_r50_fpn_bounded_iou_1x_coco",
        faster_rcnn(box_head=BoxHeadConfig(box_loss=BoundedIoULoss(weight=10.0))),
        box_ap=37.4,
        weights="faster_rcnn/faster_rcnn_r50_fpn_1x_coco/faster_rcnn_r50_fpn_bounded_iou_1x_coco-98ad993b.pth",
    ),
    Entry(
        "faster_rcnn_r50_fpn_ciou_1x_coco",
        faster_rcnn(box_head=BoxHeadConfig(box_loss=CIoULoss(weight=12.0))),
    ),
    Entry(
        "faster_rcnn_r50_fpn_fp16_1x_coco",
        faster_rcnn(precision="fp16", loss_scale=512.0),
        box_ap=37.5,
        memory_gb=3.4,
        inference_ms=34.72,
        weights="fp16/faster_rcnn_r50_fpn_fp16_1x_coco/faster_rcnn_r50_fpn_fp16_1x_coco_20200204-d4dc1471.pth",
    ),
    Entry(
        "faster_rcnn_r50_fpn_giou_1x_coco",
        faster_rcnn(box_head=BoxHeadConfig(box_loss=GIoULoss(weight=10.0))),
        box_ap=37.6,
        weights="faster_rcnn/faster_rcnn_r50_fpn_1x_coco/faster_rcnn_r50_fpn_giou_1x_coco-0eada910.pth",
    ),
    Entry(
        "faster_rcnn_r50_fpn_iou_1x_coco",
        faster_rcnn(box_head=BoxHeadConfig(box_loss=IoULoss(weight=10.0))),
        box_ap=37.9,
        weights="faster_rcnn_r50_fpn_iou_1x_coco_20200506_095954-938e81f0.pth",
    ),
    Entry(
        "faster_rcnn_r50_fpn_mstrain_3x_coco",
        faster_rcnn(**RANGE_3X),
        box_ap=40.3,
        memory_gb=3.9,
        weights="faster_rcnn_r50_fpn_mstrain_3x_coco_20210524_110822-e10bd31c.pth",
    ),
    Entry(
        "faster_rcnn_r50_fpn_ohem_1x_coco",
        faster_rcnn(sampler=OHEMSampler(num=512, positive_fraction=0.25, adds_targets=True)),
    ),
    Entry("faster_rcnn_r50_fpn_soft_nms_1x_coco", faster_rcnn(suppression=SoftNMS(max_iou=0.5))),
    Entry(
        "faster_rcnn_r50_fpn_tnr-pretrain_1x_coco",
        faster_rcnn(
            TNR_RESNET,
            optimizer=AdamWConfig(lr=0.0001, weight_decay=0.1, norm_weight_decay_scale=0.0),
        ),
        box_ap=40.2,
        memory_gb=4.0,
        inference_ms=46.73,
        weights="faster_rcnn_r50_fpn_tnr-pretrain_1x_coco_20220320_085147-efedfda4.pth",
    ),
    Entry(
        "faster_rcnn_x101_32x4d_fpn_1x_coco",
        faster_rcnn(resnext(32, 4)),
        box_ap=41.2,
        memory_gb=7.2,
        inference_ms=72.46,
        weights="faster_rcnn_x101_32x4d_fpn_1x_coco_20200203-cff10310.pth",
    ),
    Entry(
        "faster_rcnn_x101_32x4d_fpn_2x_coco",
        faster_rcnn(resnext(32, 4), schedule=epochs(24)),
        box_ap=41.2,
        memory_gb=7.2,
        inference_ms=72.46,
        weights="faster_rcnn_x101_32x4d_fpn_2x_coco_bbox_mAP-0.412_20200506_041400-64a12c0b.pth",
    ),
    Entry(
        "faster_rcnn_x101_32x4d_fpn_mstrain_3x_coco",
        faster_rcnn(resnext(32, 4), **RANGE_3X),
        box_ap=42.5,
        memory_gb=7.0,
        weights="faster_rcnn_x101_32x4d_fpn_mstrain_3x_coco_20210524_124151-16b9b260.pth",
    ),
    Entry(
        "faster_rcnn_x101_32x8d_fpn_mstrain_3x_coco",
        faster_rcnn(caffe2_resnext_32x8d(), **RANGE_3X),
        box_ap=42.4,
        memory_gb=10.1,
        weights="faster_rcnn_x101_32x8d_fpn_mstrain_3x_coco_20210604_182954-002e082a.pth",
    ),
    Entry(
        "faster_rcnn_x101_64x4d_fpn_1x_coco",
        faster_rcnn(resnext(64, 4)),
        box_ap=42.1,
        memory_gb=10.3,
        inference_ms=106.38,
        weights="faster_rcnn_x101_64x4d_fpn_1x_coco_20200204-833ee192.pth",
    ),
    Entry(
        "faster_rcnn_x101_64x4d_fpn_2x_coco",
        faster_rcnn(resnext(64, 4), schedule=epochs(24)),
        box_ap=41.6,
        memory_gb=10.3,
        inference_ms=106.38,
        weights="faster_rcnn_x101_64x4d_fpn_2x_coco_20200512_161033-5961fa95.pth",
    ),
    Entry(
        "faster_rcnn_x101_64x4d_fpn_mstrain_3x_coco",
        faster_rcnn(resnext(64, 4), **RANGE_3X),
        box_ap=43.1,
        memory_gb=10.0,
        weights="faster_rcnn_x101_64x4d_fpn_mstrain_3x_coco_20210524_124528-26c63de6.pth",
    ),
)

FAMILY = Family(
    folder="faster_rcnn",
    title="Faster R-CNN",
    paper="https://arxiv.org/abs/1506.01497",
    entries=ENTRIES,
)
