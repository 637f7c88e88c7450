"""ResNet-50 as it is trained today."""

from __future__ import annotations

import dataclasses
from typing import Final

from detzoo.optim.optimizers import AdamWConfig
from detzoo.zoo.cascade_rcnn import cascade_mask_rcnn
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.faster_rcnn import faster_rcnn
from detzoo.zoo.mask_rcnn import mask_rcnn
from detzoo.zoo.parts import resnet
from detzoo.zoo.retinanet import retinanet

RESNET = dataclasses.replace(
    resnet(50),
    pretrained=(
        "https://download.openmmlab.com/mmclassification/v0/resnet/"
        "{architecture}_8xb256-rsb-a1-600e_in1k_20211228-20e21305.pth"
    ),
)
ADAMW: Final = AdamWConfig(lr=2e-4, weight_decay=0.05, norm_weight_decay_scale=0.0)

ENTRIES = (
    Entry(
        "cascade_mask_rcnn_r50_fpn_rsb-pretrain_1x_coco",
        cascade_mask_rcnn(RESNET, optimizer=ADAMW),
        box_ap=44.8,
        mask_ap=39.9,
        memory_gb=6.2,
        weights="cascade_mask_rcnn_r50_fpn_rsb-pretrain_1x_coco_20220113_193636-8b9ad50f.pth",
    ),
    Entry(
        "faster_rcnn_r50_fpn_rsb-pretrain_1x_coco",
        faster_rcnn(RESNET, optimizer=ADAMW),
        box_ap=40.8,
        memory_gb=3.9,
        weights="faster_rcnn_r50_fpn_rsb-pretrain_1x_coco_20220113_162229-32ae82a9.pth",
    ),
    Entry(
        "mask_rcnn_r50_fpn_rsb-pretrain_1x_coco",
        mask_rcnn(RESNET, optimizer=ADAMW),
        box_ap=41.2,
        mask_ap=38.2,
        memory_gb=4.5,
        weights="mask_rcnn_r50_fpn_rsb-pretrain_1x_coco_20220113_174054-06ce8ba0.pth",
    ),
    Entry(
        "retinanet_r50_fpn_rsb-pretrain_1x_coco",
        retinanet(RESNET, optimizer=dataclasses.replace(ADAMW, lr=1e-4)),
        box_ap=39.0,
        memory_gb=3.8,
        weights="retinanet_r50_fpn_rsb-pretrain_1x_coco_20220113_175432-bd24aae9.pth",
    ),
)

FAMILY = Family(
    folder="resnet_strikes_back",
    title="ResNet strikes back",
    paper="https://arxiv.org/abs/2110.00476",
    entries=ENTRIES,
)
