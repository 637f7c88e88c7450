"""PointRend."""

from __future__ import annotations

from typing_extensions import Unpack

from detzoo.backbones.resnet import ResNetConfig
from detzoo.detectors.two_stage import TwoStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.dense.rpn import RPNHeadConfig
from detzoo.heads.roi.point_rend import PointRendRoIHeadConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import EPOCHS_36_CAFFE, SIX_SIZES, Recipe, caffe_resnet, experiment


def point_rend(backbone: ResNetConfig, **recipe: Unpack[Recipe]) -> Experiment:
    """Mask R-CNN with coarse masks that are refined at uncertain points."""
    model = TwoStageConfig(
        backbone=backbone,
        neck=FPNConfig(),
        rpn_head=RPNHeadConfig(),
        roi_head=PointRendRoIHeadConfig(),
    )
    recipe.setdefault("masks", "bitmap")
    recipe.setdefault("sizes", SIX_SIZES)
    return experiment(model, **recipe)


ENTRIES = (
    Entry(
        "point_rend_r50_caffe_fpn_mstrain_1x_coco",
        point_rend(caffe_resnet(50)),
        box_ap=38.4,
        mask_ap=36.3,
        memory_gb=4.6,
        weights="point_rend_r50_caffe_fpn_mstrain_1x_coco-1bcb5fb4.pth",
    ),
    Entry(
        "point_rend_r50_caffe_fpn_mstrain_3x_coco",
        point_rend(caffe_resnet(50), schedule=EPOCHS_36_CAFFE),
        box_ap=41.0,
        mask_ap=38.0,
        memory_gb=4.6,
        weights="point_rend_r50_caffe_fpn_mstrain_3x_coco-e0ebb6b7.pth",
    ),
)

FAMILY = Family(
    folder="point_rend",
    title="PointRend",
    paper="https://arxiv.org/abs/1912.08193",
    entries=ENTRIES,
)
