"""Feature pyramid grids."""

from __future__ import annotations

import dataclasses

from detzoo.detectors.two_stage import TwoStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.dense.rpn import RPNHeadConfig
from detzoo.heads.roi.mask_head import MaskHeadConfig
from detzoo.layers.norm import BatchNormConfig
from detzoo.necks.fpg import FPGConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.faster_rcnn import faster_rcnn
from detzoo.zoo.mask_rcnn import mask_rcnn
from detzoo.zoo.nas_fpn import retinanet_crop640

NORM = BatchNormConfig()
FPN = FPNConfig(norm=NORM)
FPG = FPGConfig()
NARROW = FPGConfig(out_channels=128)
RPN_CHANNELS = 256


def two_stage_crop640(base: Experiment, neck: FPNConfig | FPGConfig) -> Experiment:
    """The recipe of ``retinanet_crop640`` for a detector with an RPN, evaluated half as often."""
    recipe = retinanet_crop640(neck)
    model = base.model
    assert isinstance(model, TwoStageConfig)
    assert isinstance(model.rpn_head, RPNHeadConfig)
    # The RPN's hidden layer does not become narrower with a narrow neck.
    channels = None if neck.out_channels == RPN_CHANNELS else RPN_CHANNELS
    model = dataclasses.replace(
        model,
        backbone=recipe.model.backbone,
        neck=neck,
        rpn_head=dataclasses.replace(model.rpn_head, channels=channels),
    )
    data = dataclasses.replace(recipe.data, masks=base.data.masks)
    return dataclasses.replace(recipe, model=model, data=data, evaluate_every=2)


def faster(neck: FPNConfig | FPGConfig) -> Experiment:
    """Faster R-CNN."""
    return two_stage_crop640(faster_rcnn(), neck)


def mask(neck: FPNConfig | FPGConfig) -> Experiment:
    """Mask R-CNN whose mask head has norms, too."""
    return two_stage_crop640(mask_rcnn(mask_head=MaskHeadConfig(norm=NORM)), neck)


def retina(neck: FPGConfig) -> Experiment:
    """RetinaNet on the last three maps, of which two more are made."""
    grid = dataclasses.replace(neck, start_level=1, extra_convs=True)
    return dataclasses.replace(retinanet_crop640(grid, divisor=128), evaluate_every=2)


ENTRIES = (
    Entry(
        "mask_rcnn_r50_fpg-chn128_crop640_50e_coco",
        mask(NARROW),
        box_ap=41.7,
        mask_ap=37.1,
        memory_gb=15.3,
        weights="mask_rcnn_r50_fpg-chn128_crop640_50e_coco_20220311_011859-043c9b4e.pth",
    ),
    Entry(
        "mask_rcnn_r50_fpg_crop640_50e_coco",
        mask(FPG),
        box_ap=43.0,
        mask_ap=38.1,
        memory_gb=23.2,
        weights="mask_rcnn_r50_fpg_crop640_50e_coco_20220311_011857-233b8334.pth",
    ),
    Entry("mask_rcnn_r50_fpn_crop640_50e_coco", mask(FPN)),
    Entry(
        "faster_rcnn_r50_fpg-chn128_crop640_50e_coco",
        faster(NARROW),
        box_ap=41.2,
        memory_gb=11.9,
        weights="faster_rcnn_r50_fpg-chn128_crop640_50e_coco_20220311_011857-9376aa9d.pth",
    ),
    Entry(
        "faster_rcnn_r50_fpg_crop640_50e_coco",
        faster(FPG),
        box_ap=42.3,
        memory_gb=20.0,
        weights="faster_rcnn_r50_fpg_crop640_50e_coco_20220311_011856-74109f42.pth",
    ),
    Entry("faster_rcnn_r50_fpn_crop640_50e_coco", faster(FPN)),
    Entry(
        "retinanet_r50_fpg-chn128_crop640_50e_coco",
        retina(NARROW),
        box_ap=39.9,
        memory_gb=19.9,
        weights="retinanet_r50_fpg-chn128_crop640_50e_coco_20220313_104829-ee99a686.pth",
    ),
    Entry(
        "retinanet_r50_fpg_crop640_50e_coco",
        retina(FPG),
        box_ap=40.5,
        memory_gb=20.8,
        weights="retinanet_r50_fpg_crop640_50e_coco_20220311_110809-b0bcf5f4.pth",
    ),
)

FAMILY = Family(
    folder="fpg",
    title="Feature pyramid grids",
    paper="https://arxiv.org/abs/2004.03580",
    entries=ENTRIES,
)
