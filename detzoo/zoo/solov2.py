"""SOLOv2."""

from __future__ import annotations

import dataclasses

from typing_extensions import Unpack

from detzoo.backbones.resnet import ResNetConfig
from detzoo.data.transforms import Pad, Resize
from detzoo.detectors.solo import SOLOConfig
from detzoo.experiment import Experiment
from detzoo.heads.mask_grid.solov2 import SOLOv2HeadConfig
from detzoo.layers.convolution import DeformConvConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.optimizers import SGDConfig
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import SIX_SIZES, Recipe, experiment, resnet, resnext
from detzoo.zoo.solo import EPOCHS_36

MODULATED = DeformConvConfig(modulated=True)
# Images with a longer side of 768.
LIGHT_SIZES = tuple((768, short) for short in range(512, 351, -32))
LIGHT = SOLOv2HeadConfig(
    num_convs=2,
    channels=256,
    scale_ranges=((1.0, 56.0), (28.0, 112.0), (56.0, 224.0), (112.0, 448.0), (224.0, 896.0)),
    kernel_channels=128,
)
LIGHT_DEFORMABLE = SOLOv2HeadConfig(
    num_convs=3,
    channels=256,
    scale_ranges=((1.0, 64.0), (32.0, 128.0), (64.0, 256.0), (128.0, 512.0), (256.0, 2048.0)),
    last_convolution=MODULATED,
    kernel_channels=128,
)
DEFORMABLE = SOLOv2HeadConfig(
    convolution=MODULATED, last_convolution=MODULATED, mask_convolution=MODULATED
)
LONG: Recipe = {"sizes": SIX_SIZES[::-1], "schedule": EPOCHS_36}


def solov2(
    backbone: ResNetConfig = resnet(50),
    head: SOLOv2HeadConfig = SOLOv2HeadConfig(),
    **recipe: Unpack[Recipe],
) -> Experiment:
    """SOLOv2 with FPN levels P2-P6; gradients are clipped."""
    model = SOLOConfig(backbone=backbone, neck=FPNConfig(), mask_head=head)
    recipe.setdefault("masks", "bitmap")
    recipe.setdefault("optimizer", SGDConfig(lr=0.01))
    recipe.setdefault("max_gradient_norm", 35.0)
    return experiment(model, **recipe)


def solov2_light(backbone: ResNetConfig, head: SOLOv2HeadConfig = LIGHT) -> Experiment:
    """SOLOv2 with a smaller head and smaller images."""
    base = solov2(backbone, head, sizes=LIGHT_SIZES, schedule=EPOCHS_36)
    test_transforms = (Resize(sizes=((448, 768),)), Pad(divisor=32))
    return dataclasses.replace(
        base, data=dataclasses.replace(base.data, test_transforms=test_transforms)
    )


def deformable(backbone: ResNetConfig) -> ResNetConfig:
    """The backbone with modulated deformable convolutions in stages 3 to 5."""
    return dataclasses.replace(backbone, deformable=MODULATED)


ENTRIES = (
    Entry(
        "solov2_light_r18_fpn_3x_coco",
        solov2_light(resnet(18)),
        mask_ap=29.7,
        memory_gb=9.1,
        weights="solov2_light_r18_fpn_3x_coco_20220511_083717-75fa355b.pth",
    ),
    Entry(
        "solov2_light_r34_fpn_3x_coco",
        solov2_light(resnet(34)),
        mask_ap=31.9,
        memory_gb=9.3,
        weights="solov2_light_r34_fpn_3x_coco_20220511_091839-e51659d3.pth",
    ),
    Entry(
        "solov2_light_r50_dcn_fpn_3x_coco",
        solov2_light(deformable(resnet(50)), LIGHT_DEFORMABLE),
    ),
    Entry(
        "solov2_light_r50_fpn_3x_coco",
        solov2_light(resnet(50)),
        mask_ap=33.7,
        memory_gb=9.9,
        weights="solov2_light_r50_fpn_3x_coco_20220512_165256-c93a6074.pth",
    ),
    Entry(
        "solov2_r101_dcn_fpn_3x_coco",
        solov2(deformable(resnet(101)), DEFORMABLE, **LONG),
        mask_ap=41.2,
        memory_gb=7.1,
        weights="solov2_r101_dcn_fpn_3x_coco_20220513_214734-16c966cb.pth",
    ),
    Entry(
        "solov2_r101_fpn_3x_coco",
        solov2(resnet(101), **LONG),
        mask_ap=39.1,
        memory_gb=6.9,
        weights="solov2_r101_fpn_3x_coco_20220511_095119-c559a076.pth",
    ),
    Entry(
        "solov2_r50_fpn_1x_coco",
        solov2(),
        mask_ap=34.8,
        memory_gb=5.1,
        weights="solov2_r50_fpn_1x_coco_20220512_125858-a357fa23.pth",
    ),
    Entry(
        "solov2_r50_fpn_3x_coco",
        solov2(**LONG),
        mask_ap=37.5,
        memory_gb=5.1,
        weights="solov2_r50_fpn_3x_coco_20220512_125856-fed092d4.pth",
    ),
    Entry(
        "solov2_x101_dcn_fpn_3x_coco",
        solov2(deformable(resnext(64, 4)), DEFORMABLE, **LONG),
        mask_ap=42.4,
        memory_gb=11.3,
        weights="solov2_x101_dcn_fpn_3x_coco_20220513_214337-aef41095.pth",
    ),
)

FAMILY = Family(
    folder="solov2",
    title="SOLOv2",
    paper="https://arxiv.org/abs/2003.10152",
    entries=ENTRIES,
)
