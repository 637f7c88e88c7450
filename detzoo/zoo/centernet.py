"""CenterNet (Objects as Points)."""

from __future__ import annotations

from detzoo.backbones.resnet import ResNetConfig
from detzoo.data.transforms import (
    CenterPad,
    Flip,
    PhotometricDistortion,
    RandomCenterCropPad,
    Resize,
)
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.experiment import DataConfig, Experiment
from detzoo.heads.heatmap.centernet import CenterNetHeadConfig
from detzoo.layers.convolution import ConvConfig, DeformConvConfig, PlainConvConfig
from detzoo.layers.norm import BatchNormConfig
from detzoo.necks.ct_resnet import CTResNetNeckConfig
from detzoo.optim.optimizers import SGDConfig
from detzoo.optim.schedules import Warmup, epochs
from detzoo.zoo import classes
from detzoo.zoo.entry import Entry, Family


def centernet(convolution: ConvConfig = PlainConvConfig()) -> Experiment:
    """CenterNet on ResNet-18, tested at the original image size."""
    return Experiment(
        model=SingleStageConfig(
            backbone=ResNetConfig(
                depth=18,
                pretrained="torchvision://{architecture}",
                norm=BatchNormConfig(),
                frozen_stages=-1,
            ),
            neck=CTResNetNeckConfig(convolution=convolution),
            bbox_head=CenterNetHeadConfig(),
        ),
        class_names=classes.COCO,
        data=DataConfig(
            train_transforms=(
                PhotometricDistortion(),
                RandomCenterCropPad(size=(512, 512)),
                Resize(sizes=((512, 512),)),
                Flip(),
            ),
            test_transforms=(CenterPad(bits=31, extra=1),),
            images_per_device=16,
            workers=4,
            repeats=5,
        ),
        optimizer=SGDConfig(lr=0.02),
        schedule=epochs(28, milestones=(18, 24), warmup=Warmup(iterations=1000)),
        reference_batch=128,
        max_gradient_norm=35.0,
    )


ENTRIES = (
    Entry(
        "centernet_resnet18_140e_coco",
        centernet(),
        box_ap=25.9,
        memory_gb=3.45,
        weights="centernet_resnet18_140e_coco_20210705_093630-bb5b3bf7.pth",
    ),
    Entry(
        "centernet_resnet18_dcnv2_140e_coco",
        centernet(DeformConvConfig(modulated=True)),
        box_ap=29.5,
        memory_gb=3.47,
        weights="centernet_resnet18_dcnv2_140e_coco_20210702_155131-c8cd631f.pth",
    ),
)

FAMILY = Family(
    folder="centernet",
    title="CenterNet",
    paper="https://arxiv.org/abs/1904.07850",
    entries=ENTRIES,
)
