"""Training from scratch."""

from __future__ import annotations

from detzoo.backbones.resnet import ResNetConfig
from detzoo.optim.optimizers import SGDConfig
from detzoo.optim.schedules import Warmup, epochs
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.faster_rcnn import faster_rcnn
from detzoo.zoo.gn import BOX_HEAD, GN, MASK_HEAD, NECK
from detzoo.zoo.mask_rcnn import mask_rcnn
from detzoo.zoo.parts import Recipe

RESNET = ResNetConfig(frozen_stages=-1, norm=GN, zero_init=False)
# Six times the usual length, without weight decay of norms.
EPOCHS_73: Recipe = {
    "optimizer": SGDConfig(lr=0.02, norm_weight_decay_scale=0.0),
    "schedule": epochs(73, milestones=(65, 71), warmup=Warmup(ratio=0.1)),
}

ENTRIES = (
    Entry(
        "faster_rcnn_r50_fpn_gn-all_scratch_6x_coco",
        faster_rcnn(RESNET, neck=NECK, box_head=BOX_HEAD, **EPOCHS_73),
        box_ap=40.7,
        weights="scratch_faster_rcnn_r50_fpn_gn_6x_bbox_mAP-0.407_20200201_193013-90813d01.pth",
    ),
    Entry(
        "mask_rcnn_r50_fpn_gn-all_scratch_6x_coco",
        mask_rcnn(RESNET, neck=NECK, box_head=BOX_HEAD, mask_head=MASK_HEAD, **EPOCHS_73),
        box_ap=41.2,
        mask_ap=37.4,
        weights="scratch_mask_rcnn_r50_fpn_gn_6x_bbox_mAP-0.412__segm_mAP-0.374_20200201_193051-1e190a40.pth",
    ),
)

FAMILY = Family(
    folder="scratch",
    title="Rethinking ImageNet pre-training",
    paper="https://arxiv.org/abs/1811.08883",
    entries=ENTRIES,
)
