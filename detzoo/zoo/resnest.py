"""ResNeSt."""

from __future__ import annotations

import dataclasses
from typing import Literal

from detzoo.backbones.resnest import ResNeStConfig
from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.heads.roi.mask_head import MaskHeadConfig
from detzoo.layers.norm import BatchNormConfig
from detzoo.zoo.cascade_rcnn import BOX_HEAD as CASCADE_BOX_HEAD
from detzoo.zoo.cascade_rcnn import cascade_mask_rcnn, cascade_rcnn, cascade_stages
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.faster_rcnn import faster_rcnn
from detzoo.zoo.mask_rcnn import mask_rcnn
from detzoo.zoo.parts import RANGE_640_800, SIX_SIZES, Recipe

SYNC_BN = BatchNormConfig(synchronized=True)
BOX_HEAD = BoxHeadConfig(num_shared_convs=4, num_shared_fcs=1, norm=SYNC_BN)
MASK_HEAD = MaskHeadConfig(norm=SYNC_BN)
STAGES = cascade_stages(
    dataclasses.replace(CASCADE_BOX_HEAD, num_shared_convs=4, num_shared_fcs=1, norm=SYNC_BN)
)
RANGE: Recipe = {"sizes": RANGE_640_800, "size_mode": "range"}
POLYGONS: Recipe = {"sizes": SIX_SIZES, "masks": "polygon"}


def resnest(depth: Literal[50, 101]) -> ResNeStConfig:
    """ResNeSt with its authors' weights."""
    return ResNeStConfig(
        depth=depth,
        stem_channels=64 if depth == 50 else 128,
        pretrained="open-mmlab://{architecture}",
        norm=SYNC_BN,
    )


ENTRIES = (
    Entry(
        "cascade_mask_rcnn_s101_fpn_syncbn-backbone+head_mstrain_1x_coco",
        cascade_mask_rcnn(resnest(101), stages=STAGES, mask_head=MASK_HEAD, **POLYGONS),
        box_ap=47.7,
        mask_ap=41.4,
        memory_gb=10.5,
        weights="resnest/cascade_mask_rcnn_s101_fpn_syncbn-backbone%2Bhead_mstrain_1x_coco/cascade_mask_rcnn_s101_fpn_syncbn-backbone%2Bhead_mstrain_1x_coco_20201005_113243-42607475.pth",
    ),
    Entry(
        "cascade_mask_rcnn_s50_fpn_syncbn-backbone+head_mstrain_1x_coco",
        cascade_mask_rcnn(resnest(50), stages=STAGES, mask_head=MASK_HEAD, **POLYGONS),
        box_ap=45.4,
        mask_ap=39.5,
        weights="resnest/cascade_mask_rcnn_s50_fpn_syncbn-backbone%2Bhead_mstrain_1x_coco/cascade_mask_rcnn_s50_fpn_syncbn-backbone%2Bhead_mstrain_1x_coco_20201122_104428-99eca4c7.pth",
    ),
    Entry(
        "cascade_rcnn_s101_fpn_syncbn-backbone+head_mstrain-range_1x_coco",
        cascade_rcnn(resnest(101), stages=STAGES, **RANGE),
        box_ap=46.8,
        memory_gb=8.4,
        weights="resnest/cascade_rcnn_s101_fpn_syncbn-backbone%2Bhead_mstrain-range_1x_coco/cascade_rcnn_s101_fpn_syncbn-backbone%2Bhead_mstrain-range_1x_coco_20201005_113242-b9459f8f.pth",
    ),
    Entry(
        "cascade_rcnn_s50_fpn_syncbn-backbone+head_mstrain-range_1x_coco",
        cascade_rcnn(resnest(50), stages=STAGES, **RANGE),
        box_ap=44.5,
        weights="resnest/cascade_rcnn_s50_fpn_syncbn-backbone%2Bhead_mstrain-range_1x_coco/cascade_rcnn_s50_fpn_syncbn-backbone%2Bhead_mstrain-range_1x_coco_20201122_213640-763cc7b5.pth",
    ),
    Entry(
        "faster_rcnn_s101_fpn_syncbn-backbone+head_mstrain-range_1x_coco",
        faster_rcnn(resnest(101), box_head=BOX_HEAD, **RANGE),
        box_ap=44.5,
        memory_gb=7.1,
        weights="resnest/faster_rcnn_s101_fpn_syncbn-backbone%2Bhead_mstrain-range_1x_coco/faster_rcnn_s101_fpn_syncbn-backbone%2Bhead_mstrain-range_1x_coco_20201006_021058-421517f1.pth",
    ),
    Entry(
        "faster_rcnn_s50_fpn_syncbn-backbone+head_mstrain-range_1x_coco",
        faster_rcnn(resnest(50), box_head=BOX_HEAD, **RANGE),
        box_ap=42.0,
        memory_gb=4.8,
        weights="resnest/faster_rcnn_s50_fpn_syncbn-backbone%2Bhead_mstrain-range_1x_coco/faster_rcnn_s50_fpn_syncbn-backbone%2Bhead_mstrain-range_1x_coco_20200926_125502-20289c16.pth",
    ),
    Entry(
        "mask_rcnn_s101_fpn_syncbn-backbone+head_mstrain_1x_coco",
        mask_rcnn(resnest(101), box_head=BOX_HEAD, mask_head=MASK_HEAD, **POLYGONS),
        box_ap=45.2,
        mask_ap=40.2,
        memory_gb=7.8,
        weights="resnest/mask_rcnn_s101_fpn_syncbn-backbone%2Bhead_mstrain_1x_coco/mask_rcnn_s101_fpn_syncbn-backbone%2Bhead_mstrain_1x_coco_20201005_215831-af60cdf9.pth",
    ),
    Entry(
        "mask_rcnn_s50_fpn_syncbn-backbone+head_mstrain_1x_coco",
        mask_rcnn(resnest(50), box_head=BOX_HEAD, mask_head=MASK_HEAD, **POLYGONS),
        box_ap=42.6,
        mask_ap=38.1,
        memory_gb=5.5,
        weights="resnest/mask_rcnn_s50_fpn_syncbn-backbone%2Bhead_mstrain_1x_coco/mask_rcnn_s50_fpn_syncbn-backbone%2Bhead_mstrain_1x_coco_20200926_125503-8a2c3d47.pth",
    ),
)

FAMILY = Family(
    folder="resnest",
    title="ResNeSt",
    paper="https://arxiv.org/abs/2004.08955",
    entries=ENTRIES,
)
