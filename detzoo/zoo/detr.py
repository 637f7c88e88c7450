"""DETR."""

from __future__ import annotations

import dataclasses

from detzoo.data.sample import Transform
from detzoo.data.transforms import Crop, Flip, OneOf, Pad, Resize
from detzoo.detectors.set_prediction import SetPredictionConfig
from detzoo.experiment import DataConfig, Experiment
from detzoo.heads.query.detr import DETRHeadConfig
from detzoo.optim.optimizers import AdamWConfig, ParameterRule
from detzoo.optim.schedules import epochs
from detzoo.zoo import classes
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import FROZEN, FULL, resnet

# Input sizes of DETR, as maximum (shorter side, longer side).
ELEVEN_SIZES = tuple((short, 1333) for short in range(480, 801, 32))
# The backbone is pretrained.
SLOW_BACKBONE = ParameterRule(name="backbone", lr_scale=0.1)


def crop_policies(longest_side: int) -> OneOf:
    """Half of the images are resized, half are resized, cropped and resized again.

    ``longest_side`` limits the longer side before the crop.
    """
    scaled = Resize(sizes=ELEVEN_SIZES)
    before = Resize(sizes=tuple((short, longest_side) for short in (400, 500, 600)))
    cut = Crop(size=(384, 600), kind="absolute_range", allow_empty=True)
    return OneOf(policies=((scaled,), (before, cut, scaled)))


def detr_transforms(longest_side: int, divisor: int = 1) -> tuple[Transform, ...]:
    """DETR's training transforms; see :func:`crop_policies`."""
    return Flip(), crop_policies(longest_side), Pad(divisor=divisor)


def with_crops(base: Experiment) -> Experiment:
    """The same recipe with the transforms of DETR, padded to multiples of 32."""
    data = dataclasses.replace(base.data, train_transforms=detr_transforms(1333, divisor=32))
    return dataclasses.replace(base, data=data)


def detr() -> Experiment:
    """DETR on the last map of ResNet-50."""
    backbone = dataclasses.replace(resnet(50), norm=FROZEN, out_stages=(3,))
    return Experiment(
        model=SetPredictionConfig(backbone=backbone, bbox_head=DETRHeadConfig()),
        class_names=classes.COCO,
        data=DataConfig(
            train_transforms=detr_transforms(1333),
            test_transforms=(Resize(sizes=FULL), Pad(divisor=1)),
        ),
        optimizer=AdamWConfig(lr=1e-4, weight_decay=1e-4, rules=(SLOW_BACKBONE,)),
        schedule=epochs(150, milestones=(100,), warmup=None),
        max_gradient_norm=0.1,
    )


ENTRIES = (
    Entry(
        "detr_r50_8x2_150e_coco",
        detr(),
        box_ap=40.1,
        memory_gb=7.9,
        weights="detr_r50_8x2_150e_coco_20201130_194835-2c4b8974.pth",
    ),
)

FAMILY = Family(
    folder="detr",
    title="DETR",
    paper="https://arxiv.org/abs/2005.12872",
    entries=ENTRIES,
)
