"""Mask R-CNN on LVIS."""

from __future__ import annotations

from detzoo.backbones.resnet import ResNetConfig
from detzoo.experiment import Experiment
from detzoo.optim.schedules import epochs
from detzoo.zoo.classes import LVIS_V05, LVIS_V1
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.mask_rcnn import mask_rcnn
from detzoo.zoo.parts import SIX_SIZES, resnet, resnext
from detzoo.zoo.seesaw_loss import RARE, SELECT, oversampled


def lvis_v1(backbone: ResNetConfig) -> Experiment:
    """Mask R-CNN on LVIS v1, for 12 epochs."""
    made = mask_rcnn(backbone, select=SELECT, class_names=LVIS_V1, sizes=SIX_SIZES)
    return oversampled(made, RARE)


def lvis_v05(backbone: ResNetConfig) -> Experiment:
    """Mask R-CNN on LVIS v0.5, for 24 epochs."""
    made = mask_rcnn(
        backbone, select=SELECT, class_names=LVIS_V05, sizes=SIX_SIZES, schedule=epochs(24)
    )
    return oversampled(made, RARE)


ENTRIES = tuple(
    Entry(f"mask_rcnn_{name}_fpn_sample1e-3_mstrain_{recipe}", make(backbone))
    for name, backbone in (
        ("r101", resnet(101)),
        ("r50", resnet(50)),
        ("x101_32x4d", resnext(32, 4)),
        ("x101_64x4d", resnext(64, 4)),
    )
    for recipe, make in (("1x_lvis_v1", lvis_v1), ("2x_lvis_v0.5", lvis_v05))
)

FAMILY = Family(
    folder="lvis",
    title="LVIS",
    paper="https://arxiv.org/abs/1908.03195",
    entries=ENTRIES,
)
