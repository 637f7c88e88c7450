"""VarifocalNet."""

from __future__ import annotations

import dataclasses

from typing_extensions import Unpack

from detzoo.backbones.base import BackboneConfig
from detzoo.backbones.res2net import Res2NetConfig
from detzoo.backbones.resnet import ResNetConfig
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.dense.vfnet import VFNetHeadConfig
from detzoo.layers.convolution import DeformConvConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.optimizers import SGDConfig
from detzoo.optim.schedules import Schedule, Warmup, epochs
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import Recipe, experiment, resnet, resnext
from detzoo.zoo.res2net import RES2NET

MODULATED = DeformConvConfig(modulated=True)


def schedule(length: int) -> Schedule:
    """The step schedule with a warm-up from a tenth of the learning rate."""
    return epochs(length, warmup=Warmup(ratio=0.1))


# Any size between the two, for twice as long.
RANGE_2X: Recipe = {
    "sizes": ((1333, 480), (1333, 960)),
    "size_mode": "range",
    "schedule": schedule(24),
}


def vfnet(
    backbone: BackboneConfig = resnet(50),
    *,
    head: VFNetHeadConfig = VFNetHeadConfig(),
    **recipe: Unpack[Recipe],
) -> Experiment:
    """VarifocalNet with levels P3-P7; biases have twice the learning rate and no weight decay."""
    model = SingleStageConfig(
        backbone=backbone,
        neck=FPNConfig(start_level=1, extra_levels="on_output", relu_between_extras=True),
        bbox_head=head,
    )
    recipe.setdefault("schedule", schedule(12))
    optimizer = SGDConfig(lr=0.01, bias_lr_scale=2.0, bias_weight_decay_scale=0.0)
    recipe.setdefault("optimizer", optimizer)
    return experiment(model, **recipe)


def deformable_vfnet(backbone: ResNetConfig | Res2NetConfig) -> Experiment:
    """VarifocalNet with modulated deformable convolutions in stages 3 to 5 and at the end of both
    towers.
    """
    return vfnet(
        dataclasses.replace(backbone, deformable=MODULATED),
        head=VFNetHeadConfig(last_convolution=MODULATED),
        **RANGE_2X,
    )


ENTRIES = (
    Entry(
        "vfnet_r101_fpn_1x_coco",
        vfnet(resnet(101)),
        box_ap=43.6,
        weights="vfnet_r101_fpn_1x_coco_20201027pth-c831ece7.pth",
    ),
    Entry("vfnet_r101_fpn_2x_coco", vfnet(resnet(101), schedule=schedule(24))),
    Entry(
        "vfnet_r101_fpn_mdconv_c3-c5_mstrain_2x_coco",
        deformable_vfnet(resnet(101)),
        box_ap=49.2,
        weights="vfnet_r101_fpn_mdconv_c3-c5_mstrain_2x_coco_20201027pth-7729adb5.pth",
    ),
    Entry(
        "vfnet_r101_fpn_mstrain_2x_coco",
        vfnet(resnet(101), **RANGE_2X),
        box_ap=46.7,
        weights="vfnet_r101_fpn_mstrain_2x_coco_20201027pth-4a5d53f1.pth",
    ),
    Entry("vfnet_r2_101_fpn_mdconv_c3-c5_mstrain_2x_coco", deformable_vfnet(RES2NET)),
    Entry("vfnet_r2_101_fpn_mstrain_2x_coco", vfnet(RES2NET, **RANGE_2X)),
    Entry(
        "vfnet_r50_fpn_1x_coco",
        vfnet(),
        box_ap=41.6,
        weights="vfnet_r50_fpn_1x_coco_20201027-38db6f58.pth",
    ),
    Entry(
        "vfnet_r50_fpn_mdconv_c3-c5_mstrain_2x_coco",
        deformable_vfnet(resnet(50)),
        box_ap=48.0,
        weights="vfnet_r50_fpn_mdconv_c3-c5_mstrain_2x_coco_20201027pth-6879c318.pth",
    ),
    Entry(
        "vfnet_r50_fpn_mstrain_2x_coco",
        vfnet(**RANGE_2X),
        box_ap=44.8,
        weights="vfnet_r50_fpn_mstrain_2x_coco_20201027-7cc75bd2.pth",
    ),
    Entry(
        "vfnet_x101_32x4d_fpn_mdconv_c3-c5_mstrain_2x_coco",
        deformable_vfnet(resnext(32, 4)),
        box_ap=50.0,
        weights="vfnet_x101_32x4d_fpn_mdconv_c3-c5_mstrain_2x_coco_20201027pth-d300a6fc.pth",
    ),
    Entry("vfnet_x101_32x4d_fpn_mstrain_2x_coco", vfnet(resnext(32, 4), **RANGE_2X)),
    Entry(
        "vfnet_x101_64x4d_fpn_mdconv_c3-c5_mstrain_2x_coco",
        deformable_vfnet(resnext(64, 4)),
        box_ap=50.8,
        weights="vfnet_x101_64x4d_fpn_mdconv_c3-c5_mstrain_2x_coco_20201027pth-b5f6da5e.pth",
    ),
    Entry("vfnet_x101_64x4d_fpn_mstrain_2x_coco", vfnet(resnext(64, 4), **RANGE_2X)),
)

FAMILY = Family(
    folder="vfnet",
    title="VarifocalNet",
    paper="https://arxiv.org/abs/2008.13367",
    entries=ENTRIES,
)
