"""Faster R-CNN and RetinaNet on Objects365."""

from __future__ import annotations

import dataclasses

from detzoo.layers.norm import BatchNormConfig
from detzoo.optim.optimizers import SGDConfig
from detzoo.optim.schedules import Warmup, epochs, iterations
from detzoo.zoo.classes import OBJECTS365_V1, OBJECTS365_V2
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.faster_rcnn import faster_rcnn
from detzoo.zoo.parts import Recipe, resnet
from detzoo.zoo.retinanet import retinanet

WARMUP = Warmup(iterations=1000)
LONG_WARMUP = Warmup(iterations=10_000)
# 64 images per step.
FASTER_RCNN: Recipe = {
    "images_per_device": 4,
    "optimizer": SGDConfig(lr=0.08),
    "schedule": epochs(12, warmup=WARMUP),
    "reference_batch": 64,
    "max_gradient_norm": 35.0,
}
RETINANET: Recipe = {
    "optimizer": SGDConfig(lr=0.01),
    "schedule": epochs(12, warmup=LONG_WARMUP),
    "max_gradient_norm": 35.0,
}
# Synchronized batch norm.
SYNCHRONIZED = dataclasses.replace(
    resnet(50), norm=BatchNormConfig(fixed_statistics=True, synchronized=True)
)


def on(names: tuple[str, ...], recipe: Recipe) -> Recipe:
    """The recipe with the classes of one of the two versions."""
    return {**recipe, "class_names": names}


def for_1350k(warmup: Warmup) -> Recipe:
    """The recipe of 36 epochs on the first version, in iterations."""
    return {
        "class_names": OBJECTS365_V1,
        "schedule": iterations(1_350_000, milestones=(900_000, 1_200_000), warmup=warmup),
        "evaluate_every": 150_000,
        "checkpoint_every": 150_000,
        "max_gradient_norm": 35.0,
    }


ENTRIES = (
    Entry(
        "faster_rcnn_r50_fpn_16x4_1x_obj365v1",
        faster_rcnn(**on(OBJECTS365_V1, FASTER_RCNN)),
        box_ap=19.6,
        memory_gb=11.4,
        weights="faster_rcnn_r50_fpn_16x4_1x_obj365v1_20221219_181226-9ff10f95.pth",
    ),
    Entry(
        "faster_rcnn_r50_fpn_16x4_1x_obj365v2",
        faster_rcnn(**on(OBJECTS365_V2, FASTER_RCNN)),
        box_ap=19.8,
        memory_gb=10.8,
        weights="faster_rcnn_r50_fpn_16x4_1x_obj365v2_20221220_175040-5910b015.pth",
    ),
    Entry(
        "faster_rcnn_r50_fpn_syncbn_1350k_obj365v1",
        faster_rcnn(SYNCHRONIZED, **for_1350k(WARMUP)),
        box_ap=22.3,
        memory_gb=8.6,
        weights="faster_rcnn_r50_fpn_syncbn_1350k_obj365v1_20220510_142457-337d8965.pth",
    ),
    Entry(
        "retinanet_r50_fpn_1x_obj365v1",
        retinanet(**on(OBJECTS365_V1, RETINANET)),
        box_ap=14.8,
        memory_gb=7.4,
        weights="retinanet_r50_fpn_1x_obj365v1_20221219_181859-ba3e3dd5.pth",
    ),
    Entry(
        "retinanet_r50_fpn_1x_obj365v2",
        retinanet(**on(OBJECTS365_V2, RETINANET)),
        box_ap=16.7,
        memory_gb=7.2,
        weights="retinanet_r50_fpn_1x_obj365v2_20221223_122105-d9b191f1.pth",
    ),
    # The V2 file adds this head to Faster R-CNN, which V2 refuses; the weights are those of
    # RetinaNet.
    Entry(
        "retinanet_r50_fpn_syncbn_1350k_obj365v1",
        retinanet(SYNCHRONIZED, **for_1350k(LONG_WARMUP)),
        box_ap=18.0,
        memory_gb=7.6,
        weights="retinanet_r50_fpn_syncbn_1350k_obj365v1_20220513_111237-7517c576.pth",
    ),
)

FAMILY = Family(
    folder="objects365",
    title="Objects365",
    paper="https://doi.org/10.1109/ICCV.2019.00852",
    entries=ENTRIES,
)
