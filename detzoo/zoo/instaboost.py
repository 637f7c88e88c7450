"""InstaBoost: instance copy-paste augmentation within the same image."""

from __future__ import annotations

import dataclasses

from detzoo.data.transforms import InstaBoost
from detzoo.experiment import Experiment
from detzoo.optim.schedules import epochs
from detzoo.zoo.cascade_rcnn import cascade_mask_rcnn
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.mask_rcnn import mask_rcnn
from detzoo.zoo.parts import resnet, resnext

EPOCHS_48 = epochs(48, milestones=(32, 44))


def boosted(experiment: Experiment) -> Experiment:
    """The experiment with InstaBoost as the first transform."""
    transforms = (InstaBoost(), *experiment.data.train_transforms)
    data = dataclasses.replace(experiment.data, train_transforms=transforms)
    return dataclasses.replace(experiment, data=data)


ENTRIES = (
    Entry(
        "cascade_mask_rcnn_r101_fpn_instaboost_4x_coco",
        boosted(cascade_mask_rcnn(resnet(101), schedule=EPOCHS_48)),
    ),
    Entry(
        "cascade_mask_rcnn_r50_fpn_instaboost_4x_coco",
        boosted(cascade_mask_rcnn(schedule=EPOCHS_48)),
        box_ap=43.7,
        mask_ap=38.0,
        memory_gb=6.0,
        inference_ms=83.33,
        weights="cascade_mask_rcnn_r50_fpn_instaboost_4x_coco_20200307-c19d98d9.pth",
    ),
    Entry(
        "cascade_mask_rcnn_x101_64x4d_fpn_instaboost_4x_coco",
        boosted(cascade_mask_rcnn(resnext(64, 4), schedule=EPOCHS_48)),
    ),
    Entry(
        "mask_rcnn_r101_fpn_instaboost_4x_coco",
        boosted(mask_rcnn(resnet(101), schedule=EPOCHS_48)),
        box_ap=42.5,
        mask_ap=38.0,
        memory_gb=6.4,
        weights="mask_rcnn_r101_fpn_instaboost_4x_coco_20200703_235738-f23f3a5f.pth",
    ),
    Entry(
        "mask_rcnn_r50_fpn_instaboost_4x_coco",
        boosted(mask_rcnn(schedule=EPOCHS_48)),
        box_ap=40.6,
        mask_ap=36.6,
        memory_gb=4.4,
        inference_ms=57.14,
        weights="mask_rcnn_r50_fpn_instaboost_4x_coco_20200307-d025f83a.pth",
    ),
    Entry(
        "mask_rcnn_x101_64x4d_fpn_instaboost_4x_coco",
        boosted(mask_rcnn(resnext(64, 4), schedule=EPOCHS_48)),
        box_ap=44.7,
        mask_ap=39.7,
        memory_gb=10.7,
        weights="mask_rcnn_x101_64x4d_fpn_instaboost_4x_coco_20200515_080947-8ed58c1b.pth",
    ),
)

FAMILY = Family(
    folder="instaboost",
    title="InstaBoost",
    paper="https://arxiv.org/abs/1908.07801",
    entries=ENTRIES,
)
