"""Side-aware boundary localization (SABL)."""

from __future__ import annotations

import dataclasses

from typing_extensions import Unpack

from detzoo.backbones.resnet import ResNetConfig
from detzoo.coders.buckets import BucketCoder
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.detectors.two_stage import TwoStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.dense.rpn import RPNHeadConfig
from detzoo.heads.dense.sabl_retina import SABLRetinaHeadConfig
from detzoo.heads.roi.sabl_head import SABLHeadConfig
from detzoo.heads.roi.standard import StandardRoIHeadConfig
from detzoo.layers.norm import GroupNormConfig, NormConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.optimizers import SGDConfig
from detzoo.optim.schedules import epochs
from detzoo.zoo.cascade_rcnn import cascade_rcnn, cascade_stages
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import RANGE_640_800, Recipe, experiment, resnet


def sabl_faster_rcnn(backbone: ResNetConfig = resnet(50), **recipe: Unpack[Recipe]) -> Experiment:
    """Faster R-CNN with side-aware boundary localization."""
    model = TwoStageConfig(
        backbone=backbone,
        neck=FPNConfig(),
        rpn_head=RPNHeadConfig(),
        roi_head=StandardRoIHeadConfig(box_head=SABLHeadConfig()),
    )
    return experiment(model, **recipe)


def sabl_cascade_rcnn(backbone: ResNetConfig = resnet(50), **recipe: Unpack[Recipe]) -> Experiment:
    """Cascade R-CNN with SABL heads; each stage has a smaller bucketed area."""
    stages = tuple(
        dataclasses.replace(stage, box_head=SABLHeadConfig(coder=BucketCoder(scale=scale)))
        for stage, scale in zip(cascade_stages(), (1.7, 1.5, 1.3))
    )
    return cascade_rcnn(backbone, stages=stages, **recipe)


def sabl_retinanet(
    backbone: ResNetConfig = resnet(50), *, norm: NormConfig | None = None, **recipe: Unpack[Recipe]
) -> Experiment:
    """RetinaNet with one square anchor per cell and side-aware boundary localization."""
    model = SingleStageConfig(
        backbone=backbone,
        neck=FPNConfig(start_level=1, extra_levels="on_input"),
        bbox_head=SABLRetinaHeadConfig(norm=norm),
    )
    recipe.setdefault("optimizer", SGDConfig(lr=0.01))
    return experiment(model, **recipe)


ENTRIES = (
    Entry(
        "sabl_cascade_rcnn_r101_fpn_1x_coco",
        sabl_cascade_rcnn(resnet(101)),
        box_ap=43.0,
        weights="sabl_cascade_rcnn_r101_fpn_1x_coco-2b83e87c.pth",
    ),
    Entry(
        "sabl_cascade_rcnn_r50_fpn_1x_coco",
        sabl_cascade_rcnn(),
        box_ap=41.6,
        weights="sabl_cascade_rcnn_r50_fpn_1x_coco-e1748e5e.pth",
    ),
    Entry(
        "sabl_faster_rcnn_r101_fpn_1x_coco",
        sabl_faster_rcnn(resnet(101)),
        box_ap=41.7,
        weights="sabl_faster_rcnn_r101_fpn_1x_coco-f804c6c1.pth",
    ),
    Entry(
        "sabl_faster_rcnn_r50_fpn_1x_coco",
        sabl_faster_rcnn(),
        box_ap=39.9,
        weights="sabl_faster_rcnn_r50_fpn_1x_coco-e867595b.pth",
    ),
    Entry(
        "sabl_retinanet_r101_fpn_1x_coco",
        sabl_retinanet(resnet(101)),
        box_ap=39.7,
        weights="sabl_retinanet_r101_fpn_1x_coco-42026904.pth",
    ),
    Entry(
        "sabl_retinanet_r101_fpn_gn_1x_coco",
        sabl_retinanet(resnet(101), norm=GroupNormConfig()),
        box_ap=40.5,
        weights="sabl_retinanet_r101_fpn_gn_1x_coco-40a893e8.pth",
    ),
    Entry(
        "sabl_retinanet_r101_fpn_gn_2x_ms_480_960_coco",
        sabl_retinanet(
            resnet(101),
            norm=GroupNormConfig(),
            sizes=((1333, 480), (1333, 960)),
            size_mode="range",
            schedule=epochs(24),
        ),
        box_ap=43.6,
        weights="sabl_retinanet_r101_fpn_gn_2x_ms_480_960_coco-5342f857.pth",
    ),
    Entry(
        "sabl_retinanet_r101_fpn_gn_2x_ms_640_800_coco",
        sabl_retinanet(
            resnet(101),
            norm=GroupNormConfig(),
            sizes=RANGE_640_800,
            size_mode="range",
            schedule=epochs(24),
        ),
        box_ap=42.9,
        weights="sabl_retinanet_r101_fpn_gn_2x_ms_640_800_coco-1e63382c.pth",
    ),
    Entry(
        "sabl_retinanet_r50_fpn_1x_coco",
        sabl_retinanet(),
        box_ap=37.7,
        weights="sabl_retinanet_r50_fpn_1x_coco-6c54fd4f.pth",
    ),
    Entry(
        "sabl_retinanet_r50_fpn_gn_1x_coco",
        sabl_retinanet(norm=GroupNormConfig()),
        box_ap=38.8,
        weights="sabl_retinanet_r50_fpn_gn_1x_coco-e16dfcf1.pth",
    ),
)

FAMILY = Family(
    folder="sabl",
    title="SABL",
    paper="https://arxiv.org/abs/1912.04260",
    entries=ENTRIES,
)
