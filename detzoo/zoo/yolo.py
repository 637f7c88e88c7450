"""YOLOv3."""

from __future__ import annotations

from typing import Literal

from detzoo.backbones.base import BackboneConfig
from detzoo.backbones.darknet import DarknetConfig
from detzoo.backbones.mobilenet_v2 import MobileNetV2Config
from detzoo.data.transforms import (
    Expand,
    Flip,
    MinIoUCrop,
    Pad,
    PhotometricDistortion,
    Resize,
)
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.experiment import DataConfig, Experiment
from detzoo.heads.dense.yolov3 import YOLOv3HeadConfig
from detzoo.necks.yolov3 import YOLOv3NeckConfig
from detzoo.optim.optimizers import SGDConfig
from detzoo.optim.schedules import Schedule, Warmup, epochs
from detzoo.priors.yolo import YOLOAnchors
from detzoo.zoo import classes
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.ssd import MEAN_BGR

# From coarse to fine; from clustering COCO's boxes at 416 and at 320 pixels.
ANCHORS_416 = YOLOAnchors(
    sizes=(
        ((116, 90), (156, 198), (373, 326)),
        ((30, 61), (62, 45), (59, 119)),
        ((10, 13), (16, 30), (33, 23)),
    )
)
ANCHORS_320 = YOLOAnchors(
    sizes=(
        ((220, 125), (128, 222), (264, 266)),
        ((35, 87), (102, 96), (60, 170)),
        ((10, 15), (24, 36), (72, 42)),
    )
)


def darknet(least: int, greatest: int, precision: Literal["fp32", "fp16"] = "fp32") -> Experiment:
    """YOLOv3 on Darknet-53, trained on images of ``least`` to ``greatest`` pixels."""
    return _yolov3(
        DarknetConfig(pretrained="open-mmlab://{architecture}"),
        YOLOv3NeckConfig(),
        YOLOv3HeadConfig(anchors=ANCHORS_416),
        (least, greatest),
        fill=(0.0, 0.0, 0.0),
        images_per_device=8,
        repeats=1,
        lr=1e-3,
        schedule=epochs(273, milestones=(218, 246), warmup=Warmup(iterations=2000, ratio=0.1)),
        precision=precision,
    )


def mobilenet(least: int, greatest: int, anchors: YOLOAnchors) -> Experiment:
    """YOLOv3 on MobileNetV2, with narrow neck and head."""
    widths = (96, 96, 96)
    return _yolov3(
        MobileNetV2Config(
            out_stages=(2, 4, 6),
            activation="leaky_relu",
            pretrained="open-mmlab://mmdet/{architecture}",
        ),
        YOLOv3NeckConfig(out_channels=widths),
        YOLOv3HeadConfig(anchors=anchors, channels=widths),
        (least, greatest),
        fill=MEAN_BGR,
        images_per_device=24,
        repeats=10,
        lr=3e-3,
        schedule=epochs(30, milestones=(24, 28), warmup=Warmup(iterations=4000, ratio=1e-4)),
    )


def _yolov3(
    backbone: BackboneConfig,
    neck: YOLOv3NeckConfig,
    head: YOLOv3HeadConfig,
    sides: tuple[int, int],
    *,
    fill: tuple[float, float, float],
    images_per_device: int,
    repeats: int,
    lr: float,
    schedule: Schedule,
    precision: Literal["fp32", "fp16"] = "fp32",
) -> Experiment:
    least, greatest = sides
    whole = ((greatest, greatest),)
    resize = Resize(sizes=whole)
    if least < greatest:
        resize = Resize(sizes=((least, least), (greatest, greatest)), mode="range")
    return Experiment(
        model=SingleStageConfig(backbone=backbone, neck=neck, bbox_head=head),
        class_names=classes.COCO,
        data=DataConfig(
            train_transforms=(
                Expand(fill=fill, ratio_range=(1.0, 2.0)),
                MinIoUCrop(min_ious=(0.4, 0.5, 0.6, 0.7, 0.8, 0.9)),
                resize,
                Flip(),
                PhotometricDistortion(),
                Pad(divisor=32),
            ),
            test_transforms=(Resize(sizes=whole), Pad(divisor=32)),
            images_per_device=images_per_device,
            workers=4,
            repeats=repeats,
        ),
        optimizer=SGDConfig(lr=lr, weight_decay=5e-4),
        schedule=schedule,
        reference_batch=8 * images_per_device,
        precision=precision,
        max_gradient_norm=35.0,
    )


ENTRIES = (
    Entry(
        "yolov3_d53_320_273e_coco",
        darknet(320, 320),
        box_ap=27.9,
        memory_gb=2.7,
        inference_ms=15.65,
        weights="yolov3_d53_320_273e_coco-421362b6.pth",
    ),
    Entry(
        "yolov3_d53_fp16_mstrain-608_273e_coco",
        darknet(320, 608, precision="fp16"),
        box_ap=33.8,
        memory_gb=4.7,
        inference_ms=20.79,
        weights="yolov3_d53_fp16_mstrain-608_273e_coco_20210517_213542-4bc34944.pth",
    ),
    Entry(
        "yolov3_d53_mstrain-416_273e_coco",
        darknet(320, 416),
        box_ap=30.9,
        memory_gb=3.8,
        inference_ms=16.34,
        weights="yolov3_d53_mstrain-416_273e_coco-2b60fcd9.pth",
    ),
    Entry(
        "yolov3_d53_mstrain-608_273e_coco",
        darknet(320, 608),
        box_ap=33.7,
        memory_gb=7.4,
        inference_ms=20.79,
        weights="yolov3_d53_mstrain-608_273e_coco_20210518_115020-a2c3acb8.pth",
    ),
    Entry(
        "yolov3_mobilenetv2_320_300e_coco",
        mobilenet(320, 320, ANCHORS_320),
        box_ap=22.2,
        memory_gb=3.2,
        weights="yolov3_mobilenetv2_320_300e_coco_20210719_215349-d18dff72.pth",
    ),
    Entry(
        "yolov3_mobilenetv2_mstrain-416_300e_coco",
        mobilenet(320, 416, ANCHORS_416),
        box_ap=23.9,
        memory_gb=5.3,
        weights="yolov3_mobilenetv2_mstrain-416_300e_coco_20210718_010823-f68a07b3.pth",
    ),
)

FAMILY = Family(
    folder="yolo",
    title="YOLOv3",
    paper="https://arxiv.org/abs/1804.02767",
    entries=ENTRIES,
)
