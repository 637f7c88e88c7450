"""SOLO."""

from __future__ import annotations

import dataclasses

from typing_extensions import Unpack

from detzoo.data.transforms import Pad, Resize
from detzoo.detectors.solo import SOLOConfig
from detzoo.experiment import Experiment
from detzoo.heads.mask_grid.base import MaskGridHeadConfig
from detzoo.heads.mask_grid.decoupled import DecoupledSOLOHeadConfig, DecoupledSOLOLightHeadConfig
from detzoo.heads.mask_grid.solo import SOLOHeadConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.optimizers import SGDConfig
from detzoo.optim.schedules import Warmup, epochs
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import SIX_SIZES, Recipe, experiment, resnet

EPOCHS_36 = epochs(36, milestones=(27, 33), warmup=Warmup(ratio=1 / 3))
# Objects are smaller in images with a shorter side of 512 instead of 800.
LIGHT_SCALES = ((1.0, 64.0), (32.0, 128.0), (64.0, 256.0), (128.0, 512.0), (256.0, 2048.0))
LIGHT_SIZES = tuple((852, short) for short in range(512, 351, -32))


def solo(head: MaskGridHeadConfig, **recipe: Unpack[Recipe]) -> Experiment:
    """SOLO with FPN levels P2-P6, of which the first and last are resized."""
    model = SOLOConfig(backbone=resnet(50), neck=FPNConfig(), mask_head=head)
    recipe.setdefault("masks", "bitmap")
    recipe.setdefault("optimizer", SGDConfig(lr=0.01))
    return experiment(model, **recipe)


def decoupled_solo_light() -> Experiment:
    """Decoupled SOLO with fewer convolutions, one mask tower, and smaller images."""
    head = DecoupledSOLOLightHeadConfig(scale_ranges=LIGHT_SCALES)
    base = solo(head, sizes=LIGHT_SIZES, schedule=EPOCHS_36)
    test_transforms = (Resize(sizes=((852, 512),)), Pad(divisor=32))
    return dataclasses.replace(
        base, data=dataclasses.replace(base.data, test_transforms=test_transforms)
    )


ENTRIES = (
    Entry(
        "decoupled_solo_light_r50_fpn_3x_coco",
        decoupled_solo_light(),
        mask_ap=32.9,
        memory_gb=2.2,
        weights="decoupled_solo_light_r50_fpn_3x_coco_20210906_142703-e70e226f.pth",
    ),
    Entry(
        "decoupled_solo_r50_fpn_1x_coco",
        solo(DecoupledSOLOHeadConfig()),
        mask_ap=33.9,
        memory_gb=7.8,
        weights="decoupled_solo_r50_fpn_1x_coco_20210820_233348-6337c589.pth",
    ),
    Entry(
        "decoupled_solo_r50_fpn_3x_coco",
        solo(DecoupledSOLOHeadConfig(), sizes=SIX_SIZES[::-1], schedule=EPOCHS_36),
        mask_ap=36.7,
        memory_gb=7.9,
        weights="decoupled_solo_r50_fpn_3x_coco_20210821_042504-7b3301ec.pth",
    ),
    Entry(
        "solo_r50_fpn_1x_coco",
        solo(SOLOHeadConfig()),
        mask_ap=33.1,
        memory_gb=8.0,
        weights="solo_r50_fpn_1x_coco_20210821_035055-2290a6b8.pth",
    ),
    Entry(
        "solo_r50_fpn_3x_coco",
        solo(SOLOHeadConfig(), sizes=SIX_SIZES[::-1], schedule=EPOCHS_36),
        mask_ap=35.9,
        memory_gb=7.4,
        weights="solo_r50_fpn_3x_coco_20210901_012353-11d224d7.pth",
    ),
)

FAMILY = Family(
    folder="solo",
    title="SOLO",
    paper="https://arxiv.org/abs/1912.04488",
    entries=ENTRIES,
)
