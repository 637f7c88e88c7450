"""FCOS."""

from __future__ import annotations

import dataclasses

from typing_extensions import Unpack

from detzoo.assigners.size_range import SizeRangeAssigner
from detzoo.backbones.base import BackboneConfig
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.dense.fcos import FCOSHeadConfig
from detzoo.layers.convolution import ConvConfig, DeformConvConfig, PlainConvConfig
from detzoo.losses.boxes import GIoULoss
from detzoo.necks.base import NeckConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.optimizers import SGDConfig
from detzoo.optim.schedules import Schedule, Warmup, epochs
from detzoo.postprocess.nms import NMS
from detzoo.postprocess.select import Select
from detzoo.structures import Pixels
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import (
    RANGE_640_800,
    Recipe,
    caffe_resnet,
    detectron_resnet,
    experiment,
    resnext,
)

FPN = FPNConfig(start_level=1, extra_levels="on_output", relu_between_extras=True)
MODULATED = DeformConvConfig(modulated=True)
CENTRAL = SizeRangeAssigner(center_radius=1.5)


def sgd(lr: float = 0.01) -> SGDConfig:
    """SGD with twice the learning rate and no weight decay for biases."""
    return SGDConfig(lr=lr, bias_lr_scale=2.0, bias_weight_decay_scale=0.0)


def constant_warmup(length: int) -> Schedule:
    """The step schedule with a constant warm-up: 500 iterations at a third of the learning rate."""
    return epochs(length, warmup=Warmup(ratio=1 / 3, kind="constant"))


TWO_SIZES_2X: Recipe = {"sizes": RANGE_640_800, "schedule": constant_warmup(24)}


def fcos(
    backbone: BackboneConfig = detectron_resnet(50),
    *,
    neck: NeckConfig = FPN,
    head: FCOSHeadConfig = FCOSHeadConfig(),
    pixels: Pixels | None = None,
    **recipe: Unpack[Recipe],
) -> Experiment:
    """FCOS with levels P3-P7 and group norm in its head, at half the usual learning rate."""
    model = SingleStageConfig(backbone=backbone, neck=neck, bbox_head=head, pixels=pixels)
    recipe.setdefault("optimizer", sgd())
    recipe.setdefault("schedule", constant_warmup(12))
    recipe.setdefault("max_gradient_norm", 35.0)
    return experiment(model, **recipe)


def fcos_with_tricks(
    backbone: BackboneConfig,
    head_convolution: ConvConfig = PlainConvConfig(),
) -> Experiment:
    """FCOS with the improvements of the authors' later code, trained without gradient clipping."""
    head = FCOSHeadConfig(
        assigner=CENTRAL,
        box_loss=GIoULoss(),
        select=Select(min_score=0.05, pre_nms=1000, suppression=NMS(max_iou=0.6)),
        conv_bias=True,
        last_convolution=head_convolution,
        normalized_distances=True,
        centerness_on_boxes=True,
    )
    return fcos(
        backbone,
        head=head,
        schedule=epochs(12, warmup=Warmup(ratio=1 / 3)),
        max_gradient_norm=None,
    )


ENTRIES = (
    Entry(
        "fcos_center-normbbox-centeronreg-giou_r50_caffe_fpn_gn-head_1x_coco",
        fcos_with_tricks(caffe_resnet(50)),
        box_ap=38.7,
        memory_gb=3.7,
        weights="fcos_center-normbbox-centeronreg-giou_r50_caffe_fpn_gn-head_1x_coco-0a0d75a8.pth",
    ),
    Entry(
        "fcos_center-normbbox-centeronreg-giou_r50_caffe_fpn_gn-head_dcn_1x_coco",
        fcos_with_tricks(
            dataclasses.replace(caffe_resnet(50), deformable=MODULATED), head_convolution=MODULATED
        ),
        box_ap=42.3,
        memory_gb=3.8,
        weights="fcos_center-normbbox-centeronreg-giou_r50_caffe_fpn_gn-head_dcn_1x_coco-ae4d8b3d.pth",
    ),
    Entry(
        "fcos_center_r50_caffe_fpn_gn-head_1x_coco",
        fcos(head=FCOSHeadConfig(assigner=CENTRAL)),
    ),
    Entry(
        "fcos_r101_caffe_fpn_gn-head_1x_coco",
        fcos(detectron_resnet(101)),
        box_ap=39.1,
        memory_gb=5.5,
        inference_ms=57.8,
        weights="fcos_r101_caffe_fpn_gn-head_1x_coco-0e37b982.pth",
    ),
    Entry(
        "fcos_r101_caffe_fpn_gn-head_mstrain_640-800_2x_coco",
        fcos(detectron_resnet(101), **TWO_SIZES_2X),
        box_ap=40.8,
        memory_gb=5.5,
        inference_ms=57.8,
        weights="fcos_r101_caffe_fpn_gn-head_mstrain_640-800_2x_coco-511424d6.pth",
    ),
    Entry(
        "fcos_r50_caffe_fpn_gn-head_1x_coco",
        fcos(),
        box_ap=36.6,
        memory_gb=3.6,
        inference_ms=44.05,
        weights="fcos_r50_caffe_fpn_gn-head_1x_coco-821213aa.pth",
    ),
    Entry(
        "fcos_r50_caffe_fpn_gn-head_4x4_1x_coco",
        fcos(images_per_device=4, workers=4),
    ),
    Entry(
        "fcos_r50_caffe_fpn_gn-head_fp16_1x_bs8x8_coco",
        fcos(
            images_per_device=8,
            workers=8,
            optimizer=sgd(lr=0.04),
            schedule=epochs(12, warmup=Warmup(iterations=1000, ratio=0.1)),
            reference_batch=64,
            precision="fp16",
        ),
    ),
    Entry(
        "fcos_r50_caffe_fpn_gn-head_mstrain_640-800_2x_coco",
        fcos(**TWO_SIZES_2X),
        box_ap=38.5,
        memory_gb=2.6,
        inference_ms=43.67,
        weights="fcos_r50_caffe_fpn_gn-head_mstrain_640-800_2x_coco-d92ceeea.pth",
    ),
    Entry(
        "fcos_x101_64x4d_fpn_gn-head_mstrain_640-800_2x_coco",
        fcos(resnext(64, 4), **TWO_SIZES_2X),
        box_ap=42.6,
        memory_gb=10.0,
        inference_ms=103.09,
        weights="fcos_x101_64x4d_fpn_gn-head_mstrain_640-800_2x_coco-ede514a8.pth",
    ),
)

FAMILY = Family(
    folder="fcos",
    title="FCOS",
    paper="https://arxiv.org/abs/1904.01355",
    entries=ENTRIES,
)
