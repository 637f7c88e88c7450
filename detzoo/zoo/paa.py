"""Probabilistic anchor assignment."""

from __future__ import annotations

from typing_extensions import Unpack

from detzoo.backbones.resnet import ResNetConfig
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.dense.paa import PAAHeadConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.optimizers import SGDConfig
from detzoo.optim.schedules import epochs
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import EPOCHS_36_CAFFE, RANGE_640_800, Recipe, experiment, resnet

# Any size between the two, for three times as long.
RANGE_36: Recipe = {"sizes": RANGE_640_800, "size_mode": "range", "schedule": EPOCHS_36_CAFFE}


def paa(backbone: ResNetConfig = resnet(50), **recipe: Unpack[Recipe]) -> Experiment:
    """PAA with levels P3-P7 and one anchor per cell."""
    model = SingleStageConfig(
        backbone=backbone,
        neck=FPNConfig(start_level=1, extra_levels="on_output"),
        bbox_head=PAAHeadConfig(),
    )
    recipe.setdefault("optimizer", SGDConfig(lr=0.01))
    return experiment(model, **recipe)


ENTRIES = (
    Entry(
        "paa_r101_fpn_1x_coco",
        paa(resnet(101)),
        box_ap=42.6,
        memory_gb=6.2,
        weights="paa_r101_fpn_1x_coco_20200821-0a1825a4.pth",
    ),
    Entry(
        "paa_r101_fpn_2x_coco",
        paa(resnet(101), schedule=epochs(24)),
        box_ap=43.5,
        memory_gb=6.2,
        weights="paa_r101_fpn_2x_coco_20200821-6829f96b.pth",
    ),
    Entry(
        "paa_r101_fpn_mstrain_3x_coco",
        paa(resnet(101), **RANGE_36),
        box_ap=45.1,
        memory_gb=6.2,
        weights="paa_r101_fpn_mstrain_3x_coco_20210122_084202-83250d22.pth",
    ),
    Entry(
        "paa_r50_fpn_1.5x_coco",
        paa(schedule=epochs(18, milestones=(12, 16))),
        box_ap=41.4,
        memory_gb=3.7,
        weights="paa_r50_fpn_1.5x_coco_20200823-805d6078.pth",
    ),
    Entry(
        "paa_r50_fpn_1x_coco",
        paa(),
        box_ap=40.4,
        memory_gb=3.7,
        weights="paa_r50_fpn_1x_coco_20200821-936edec3.pth",
    ),
    Entry(
        "paa_r50_fpn_2x_coco",
        paa(schedule=epochs(24)),
        box_ap=41.6,
        memory_gb=3.7,
        weights="paa_r50_fpn_2x_coco_20200821-c98bfc4e.pth",
    ),
    Entry(
        "paa_r50_fpn_mstrain_3x_coco",
        paa(**RANGE_36),
        box_ap=43.3,
        memory_gb=3.7,
        weights="paa_r50_fpn_mstrain_3x_coco_20210121_145722-06a6880b.pth",
    ),
)

FAMILY = Family(
    folder="paa",
    title="PAA",
    paper="https://arxiv.org/abs/2007.08103",
    entries=ENTRIES,
)
