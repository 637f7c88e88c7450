"""Pyramid vision transformers."""

from __future__ import annotations

import dataclasses

from detzoo.backbones.pvt import PVTConfig
from detzoo.optim.optimizers import AdamWConfig
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import Recipe
from detzoo.zoo.retinanet import retinanet

ADAMW = AdamWConfig(lr=1e-4)
BATCH_8: Recipe = {
    "optimizer": AdamWConfig(lr=1e-4 / 1.4),
    "images_per_device": 1,
    "workers": 1,
    "reference_batch": 8,
}


def pvt(*blocks: int) -> PVTConfig:
    """PVT with its authors' weights."""
    first, second, third, fourth = blocks
    return PVTConfig(
        blocks=(first, second, third, fourth),
        pretrained="https://github.com/whai362/PVT/releases/download/v2/{architecture}.pth",
    )


def pvt_v2(*blocks: int, channels_per_head: int = 64) -> PVTConfig:
    """PVTv2 with its authors' weights."""
    return dataclasses.replace(pvt(*blocks), version=2, channels_per_head=channels_per_head)


PVT_V2_B5 = dataclasses.replace(pvt_v2(3, 6, 40, 3), hidden_ratios=(4, 4, 4, 4))

ENTRIES = (
    Entry(
        "retinanet_pvt-l_fpn_1x_coco",
        retinanet(pvt(3, 8, 27, 3), optimizer=ADAMW, precision="fp16"),
    ),
    Entry(
        "retinanet_pvt-m_fpn_1x_coco",
        retinanet(pvt(3, 4, 18, 3), optimizer=ADAMW),
        box_ap=41.7,
        memory_gb=20.9,
        weights="retinanet_pvt-m_fpn_1x_coco_20210831_103243-55effa1b.pth",
    ),
    Entry(
        "retinanet_pvt-s_fpn_1x_coco",
        retinanet(pvt(3, 4, 6, 3), optimizer=ADAMW),
        box_ap=40.4,
        memory_gb=14.5,
        weights="retinanet_pvt-s_fpn_1x_coco_20210906_142921-b6c94a5b.pth",
    ),
    Entry(
        "retinanet_pvt-t_fpn_1x_coco",
        retinanet(pvt(2, 2, 2, 2), optimizer=ADAMW),
        box_ap=36.6,
        memory_gb=8.5,
        weights="retinanet_pvt-t_fpn_1x_coco_20210831_103110-17b566bd.pth",
    ),
    Entry(
        "retinanet_pvtv2-b0_fpn_1x_coco",
        retinanet(pvt_v2(2, 2, 2, 2, channels_per_head=32), optimizer=ADAMW),
        box_ap=37.1,
        memory_gb=7.4,
        weights="retinanet_pvtv2-b0_fpn_1x_coco_20210831_103157-13e9aabe.pth",
    ),
    Entry(
        "retinanet_pvtv2-b1_fpn_1x_coco",
        retinanet(pvt_v2(2, 2, 2, 2), optimizer=ADAMW),
        box_ap=41.2,
        memory_gb=9.5,
        weights="retinanet_pvtv2-b1_fpn_1x_coco_20210831_103318-7e169a7d.pth",
    ),
    Entry(
        "retinanet_pvtv2-b2_fpn_1x_coco",
        retinanet(pvt_v2(3, 4, 6, 3), optimizer=ADAMW),
        box_ap=44.6,
        memory_gb=16.2,
        weights="retinanet_pvtv2-b2_fpn_1x_coco_20210901_174843-529f0b9a.pth",
    ),
    Entry(
        "retinanet_pvtv2-b3_fpn_1x_coco",
        retinanet(pvt_v2(3, 4, 18, 3), optimizer=ADAMW),
        box_ap=46.0,
        memory_gb=23.0,
        weights="retinanet_pvtv2-b3_fpn_1x_coco_20210903_151512-8357deff.pth",
    ),
    Entry(
        "retinanet_pvtv2-b4_fpn_1x_coco",
        retinanet(pvt_v2(3, 8, 27, 3), **BATCH_8),
        box_ap=46.3,
        memory_gb=17.0,
        weights="retinanet_pvtv2-b4_fpn_1x_coco_20210901_170151-83795c86.pth",
    ),
    Entry(
        "retinanet_pvtv2-b5_fpn_1x_coco",
        retinanet(PVT_V2_B5, **BATCH_8),
        box_ap=46.1,
        memory_gb=18.7,
        weights="retinanet_pvtv2-b5_fpn_1x_coco_20210902_201800-3420eb57.pth",
    ),
)

FAMILY = Family(
    folder="pvt",
    title="Pyramid vision transformers",
    paper="https://arxiv.org/abs/2102.12122",
    entries=ENTRIES,
)
