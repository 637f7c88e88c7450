"""ConvNeXt."""

from __future__ import annotations

import dataclasses

from detzoo.backbones.convnext import ConvNeXtConfig
from detzoo.experiment import Experiment
from detzoo.losses.boxes import GIoULoss
from detzoo.optim.layer_decay import LayerDecay
from detzoo.optim.optimizers import AdamWConfig
from detzoo.zoo.cascade_rcnn import cascade_mask_rcnn, cascade_stages
from detzoo.zoo.detr import with_crops
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.mask_rcnn import mask_rcnn
from detzoo.zoo.resnest import BOX_HEAD
from detzoo.zoo.swin import SCHEDULE_3X

WEIGHTS = "https://download.openmmlab.com/mmclassification/v0/convnext/downstream/{architecture}_3rdparty_32xb128-noema_in1k_20220301-"
TINY = ConvNeXtConfig(layer_scale=1.0, stochastic_depth=0.4, pretrained=f"{WEIGHTS}795e9634.pth")
SMALL = dataclasses.replace(
    TINY, blocks=(3, 3, 27, 3), stochastic_depth=0.6, pretrained=f"{WEIGHTS}303e75e3.pth"
)


def cascade(backbone: ConvNeXtConfig, num_layers: int) -> Experiment:
    """Cascade Mask R-CNN whose box heads have four convolutions and GIoU loss."""
    box_head = dataclasses.replace(BOX_HEAD, box_loss=GIoULoss(weight=10.0))
    recipe = cascade_mask_rcnn(
        backbone,
        stages=cascade_stages(box_head),
        optimizer=AdamWConfig(
            lr=2e-4, weight_decay=0.05, layer_decay=LayerDecay(rate=0.7, num_layers=num_layers)
        ),
        schedule=SCHEDULE_3X,
        precision="fp16",
    )
    return with_crops(recipe)


ENTRIES = (
    Entry(
        "cascade_mask_rcnn_convnext-s_p4_w7_fpn_giou_4conv1f_fp16_ms-crop_3x_coco",
        cascade(SMALL, num_layers=12),
        box_ap=51.8,
        mask_ap=44.8,
        memory_gb=12.3,
        weights="cascade_mask_rcnn_convnext-s_p4_w7_fpn_giou_4conv1f_fp16_ms-crop_3x_coco_20220510_201004-3d24f5a4.pth",
    ),
    Entry(
        "cascade_mask_rcnn_convnext-t_p4_w7_fpn_giou_4conv1f_fp16_ms-crop_3x_coco",
        cascade(TINY, num_layers=6),
        box_ap=50.3,
        mask_ap=43.6,
        memory_gb=9.0,
        weights="cascade_mask_rcnn_convnext-t_p4_w7_fpn_giou_4conv1f_fp16_ms-crop_3x_coco_20220509_204200-8f07c40b.pth",
    ),
    Entry(
        "mask_rcnn_convnext-t_p4_w7_fpn_fp16_ms-crop_3x_coco",
        with_crops(
            mask_rcnn(
                TINY,
                optimizer=AdamWConfig(
                    lr=1e-4, weight_decay=0.05, layer_decay=LayerDecay(rate=0.95, num_layers=6)
                ),
                schedule=SCHEDULE_3X,
                precision="fp16",
            )
        ),
        box_ap=46.2,
        mask_ap=41.7,
        memory_gb=7.3,
        weights="mask_rcnn_convnext-t_p4_w7_fpn_fp16_ms-crop_3x_coco_20220426_154953-050731f4.pth",
    ),
)

FAMILY = Family(
    folder="convnext",
    title="ConvNeXt",
    paper="https://arxiv.org/abs/2201.03545",
    entries=ENTRIES,
)
