"""FSAF."""

from __future__ import annotations

from detzoo.backbones.resnet import ResNetConfig
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.dense.fsaf import FSAFHeadConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.optimizers import SGDConfig
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import experiment, resnet, resnext


def fsaf(backbone: ResNetConfig = resnet(50)) -> Experiment:
    """The anchor-free branch of FSAF, with one prior per cell."""
    model = SingleStageConfig(
        backbone=backbone,
        neck=FPNConfig(start_level=1, extra_levels="on_input"),
        bbox_head=FSAFHeadConfig(),
    )
    return experiment(model, optimizer=SGDConfig(lr=0.01), max_gradient_norm=10.0)


ENTRIES = (
    Entry(
        "fsaf_r101_fpn_1x_coco",
        fsaf(resnet(101)),
        box_ap=39.3,
        memory_gb=5.08,
        inference_ms=92.59,
        weights="fsaf_r101_fpn_1x_coco-9e71098f.pth",
    ),
    Entry(
        "fsaf_r50_fpn_1x_coco",
        fsaf(),
        box_ap=37.4,
        memory_gb=3.15,
        inference_ms=76.92,
        weights="fsaf_r50_fpn_1x_coco-94ccc51f.pth",
    ),
    Entry(
        "fsaf_x101_64x4d_fpn_1x_coco",
        fsaf(resnext(64, 4)),
        box_ap=42.4,
        memory_gb=9.38,
        inference_ms=178.57,
        weights="fsaf_x101_64x4d_fpn_1x_coco-e3f6e6fd.pth",
    ),
)

FAMILY = Family(
    folder="fsaf",
    title="FSAF",
    paper="https://arxiv.org/abs/1903.00621",
    entries=ENTRIES,
)
