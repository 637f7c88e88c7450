"""YOLACT."""

from __future__ import annotations

import dataclasses

from detzoo.data.transforms import (
    Expand,
    FilterBoxes,
    Flip,
    MinIoUCrop,
    PhotometricDistortion,
    Resize,
)
from detzoo.detectors.yolact import YOLACTConfig
from detzoo.experiment import DataConfig, Experiment
from detzoo.layers.norm import BatchNormConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.optimizers import SGDConfig
from detzoo.optim.schedules import Warmup, epochs
from detzoo.structures import Pixels
from detzoo.zoo import classes
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import Depth, resnet

MILESTONES = (20, 42, 49, 52)
PIXELS = Pixels(mean=(123.68, 116.78, 103.94), std=(58.40, 57.12, 57.38))
# In the order of decoded images.
MEAN_BGR = (103.94, 116.78, 123.68)
FIT = Resize(sizes=((550, 550),), keep_ratio=False)


def yolact(depth: Depth) -> Experiment:
    """YOLACT with levels P3-P7, trained like SSD, without frozen layers."""
    backbone = dataclasses.replace(
        resnet(depth), frozen_stages=-1, norm=BatchNormConfig(), zero_init=False
    )
    return Experiment(
        model=YOLACTConfig(
            backbone=backbone,
            neck=FPNConfig(start_level=1, extra_levels="on_input", upsampling="bilinear"),
            pixels=PIXELS,
        ),
        class_names=classes.COCO,
        data=DataConfig(
            train_transforms=(
                FilterBoxes(min_size=(4.0, 4.0), allow_empty=False),
                Expand(fill=MEAN_BGR),
                MinIoUCrop(),
                FIT,
                Flip(),
                PhotometricDistortion(),
            ),
            test_transforms=(FIT,),
            images_per_device=8,
            workers=4,
            masks="bitmap",
        ),
        optimizer=SGDConfig(lr=1e-3, weight_decay=5e-4),
        schedule=epochs(55, milestones=MILESTONES, warmup=Warmup(ratio=0.1)),
        reference_batch=8,
    )


def on_eight_gpus(base: Experiment) -> Experiment:
    """The recipe for 64 images per step; gradients are clipped."""
    return dataclasses.replace(
        base,
        optimizer=SGDConfig(lr=8e-3, weight_decay=5e-4),
        schedule=epochs(55, milestones=MILESTONES, warmup=Warmup(iterations=1000, ratio=0.1)),
        reference_batch=64,
        max_gradient_norm=35.0,
    )


ENTRIES = (
    Entry(
        "yolact_r101_1x8_coco",
        yolact(101),
        mask_ap=30.4,
        inference_ms=29.85,
        weights="yolact_r101_1x8_coco_20200908-4cbe9101.pth",
    ),
    Entry(
        "yolact_r50_1x8_coco",
        yolact(50),
        mask_ap=29.0,
        inference_ms=23.53,
        weights="yolact_r50_1x8_coco_20200908-f38d58df.pth",
    ),
    Entry(
        "yolact_r50_8x8_coco",
        on_eight_gpus(yolact(50)),
        mask_ap=28.4,
        inference_ms=23.53,
        weights="yolact_r50_8x8_coco_20200908-ca34f5db.pth",
    ),
)

FAMILY = Family(
    folder="yolact",
    title="YOLACT",
    paper="https://arxiv.org/abs/1904.02689",
    entries=ENTRIES,
)
