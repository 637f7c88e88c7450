"""Detectors on Cityscapes, initialized with the published weights for COCO."""

from __future__ import annotations

import dataclasses

from detzoo.backbones.resnet import ResNetConfig
from detzoo.data.transforms import Pad, Resize
from detzoo.experiment import Experiment
from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.losses.boxes import SmoothL1Loss
from detzoo.optim.optimizers import SGDConfig
from detzoo.optim.schedules import epochs
from detzoo.zoo import classes
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.faster_rcnn import faster_rcnn
from detzoo.zoo.mask_rcnn import mask_rcnn
from detzoo.zoo.parts import Recipe, resnet

# All weights come from a trained detector.
BACKBONE: ResNetConfig = dataclasses.replace(resnet(50), pretrained=None)
BOX_HEAD = BoxHeadConfig(box_loss=SmoothL1Loss(beta=1.0))
# Eight epochs of eight passes over the data each.
RECIPE: Recipe = {
    "class_names": classes.CITYSCAPES,
    "sizes": ((2048, 800), (2048, 1024)),
    "size_mode": "range",
    "repeats": 8,
    "images_per_device": 1,
    "reference_batch": 8,
    "optimizer": SGDConfig(lr=0.01),
    "schedule": epochs(8, milestones=(7,)),
}


def starting_from(entry: str) -> Recipe:
    """The recipe, initialized with the published weights of a COCO model."""
    return {**RECIPE, "initial_weights": entry}


def at_full_size(experiment: Experiment) -> Experiment:
    """The experiment, tested at the original size of Cityscapes images."""
    transforms = (Resize(sizes=((2048, 1024),)), Pad(divisor=32))
    data = dataclasses.replace(experiment.data, test_transforms=transforms)
    return dataclasses.replace(experiment, data=data)


ENTRIES = (
    Entry(
        "faster_rcnn_r50_fpn_1x_cityscapes",
        at_full_size(
            faster_rcnn(BACKBONE, box_head=BOX_HEAD, **starting_from("faster_rcnn_r50_fpn_1x_coco"))
        ),
        box_ap=40.3,
        memory_gb=5.2,
        weights="cityscapes/faster_rcnn_r50_fpn_1x_cityscapes_20200502-829424c0.pth",
    ),
    Entry(
        "mask_rcnn_r50_fpn_1x_cityscapes",
        at_full_size(
            mask_rcnn(BACKBONE, box_head=BOX_HEAD, **starting_from("mask_rcnn_r50_fpn_1x_coco"))
        ),
        box_ap=40.9,
        mask_ap=36.4,
        memory_gb=5.3,
        weights="mask_rcnn_r50_fpn_1x_cityscapes_20201211_133733-d2858245.pth",
    ),
)

FAMILY = Family(
    folder="cityscapes",
    title="Cityscapes",
    paper="https://arxiv.org/abs/1604.01685",
    entries=ENTRIES,
)
