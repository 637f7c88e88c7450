"""Res2Net."""

from __future__ import annotations

from detzoo.backbones.res2net import Res2NetConfig
from detzoo.optim.schedules import epochs
from detzoo.zoo.cascade_rcnn import EPOCHS_20, cascade_mask_rcnn, cascade_rcnn
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.faster_rcnn import faster_rcnn
from detzoo.zoo.htc import htc
from detzoo.zoo.mask_rcnn import mask_rcnn

RES2NET = Res2NetConfig(pretrained="open-mmlab://{architecture}")

ENTRIES = (
    Entry(
        "cascade_mask_rcnn_r2_101_fpn_20e_coco",
        cascade_mask_rcnn(RES2NET, schedule=EPOCHS_20),
        box_ap=46.4,
        mask_ap=40.0,
        memory_gb=9.5,
        weights="cascade_mask_rcnn_r2_101_fpn_20e_coco-8a7b41e1.pth",
    ),
    Entry(
        "cascade_rcnn_r2_101_fpn_20e_coco",
        cascade_rcnn(RES2NET, schedule=EPOCHS_20),
        box_ap=45.7,
        memory_gb=7.8,
        weights="cascade_rcnn_r2_101_fpn_20e_coco-f4b7b7db.pth",
    ),
    Entry(
        "faster_rcnn_r2_101_fpn_2x_coco",
        faster_rcnn(RES2NET, schedule=epochs(24)),
        box_ap=43.0,
        memory_gb=7.4,
        weights="faster_rcnn_r2_101_fpn_2x_coco-175f1da6.pth",
    ),
    Entry(
        "htc_r2_101_fpn_20e_coco",
        htc(RES2NET, schedule=EPOCHS_20),
        box_ap=47.5,
        mask_ap=41.6,
        weights="htc_r2_101_fpn_20e_coco-3a8d2112.pth",
    ),
    Entry(
        "mask_rcnn_r2_101_fpn_2x_coco",
        mask_rcnn(RES2NET, schedule=epochs(24)),
        box_ap=43.6,
        mask_ap=38.7,
        memory_gb=7.9,
        weights="mask_rcnn_r2_101_fpn_2x_coco-17f061e8.pth",
    ),
)

FAMILY = Family(
    folder="res2net",
    title="Res2Net",
    paper="https://arxiv.org/abs/1904.01169",
    entries=ENTRIES,
)
