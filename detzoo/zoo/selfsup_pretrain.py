"""Mask R-CNN on backbones that were trained without labels.

V2 publishes no weights of these backbones: it tells how to convert those of MoCo v2 and SwAV into the
files that are named here, which lie where a run starts.
"""

from __future__ import annotations

from detzoo.backbones.resnet import ResNetConfig
from detzoo.layers.norm import BatchNormConfig
from detzoo.optim.schedules import epochs
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.mask_rcnn import mask_rcnn
from detzoo.zoo.parts import RANGE_640_800


def self_supervised(file: str) -> ResNetConfig:
    """ResNet-50 from a file, of which the stem alone is kept."""
    return ResNetConfig(
        pretrained=f"./{file}", frozen_stages=0, norm=BatchNormConfig(synchronized=True)
    )


MOCO = self_supervised("mocov2_r50_800ep_pretrain.pth")
SWAV = self_supervised("swav_800ep_pretrain.pth.tar")


ENTRIES = (
    Entry("mask_rcnn_r50_fpn_mocov2-pretrain_1x_coco", mask_rcnn(MOCO)),
    Entry(
        "mask_rcnn_r50_fpn_mocov2-pretrain_ms-2x_coco",
        mask_rcnn(MOCO, sizes=RANGE_640_800, size_mode="range", schedule=epochs(24)),
    ),
    Entry("mask_rcnn_r50_fpn_swav-pretrain_1x_coco", mask_rcnn(SWAV)),
    Entry(
        "mask_rcnn_r50_fpn_swav-pretrain_ms-2x_coco",
        mask_rcnn(SWAV, sizes=RANGE_640_800, size_mode="range", schedule=epochs(24)),
    ),
)

FAMILY = Family(
    folder="selfsup_pretrain",
    title="Self-supervised backbones",
    paper="https://arxiv.org/abs/2003.04297",
    entries=ENTRIES,
)
