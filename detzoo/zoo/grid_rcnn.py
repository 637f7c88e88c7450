"""Grid R-CNN."""

from __future__ import annotations

from typing_extensions import Unpack

from detzoo.backbones.resnet import ResNetConfig
from detzoo.detectors.two_stage import TwoStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.dense.rpn import RPNHeadConfig
from detzoo.heads.roi.grid import GridRoIHeadConfig
from detzoo.losses.boxes import SmoothL1Loss
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.schedules import Warmup, epochs
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import Recipe, experiment, resnet, resnext
from detzoo.zoo.rpn import proposals


def grid_rcnn(
    backbone: ResNetConfig = resnet(50),
    *,
    roi_head: GridRoIHeadConfig = GridRoIHeadConfig(),
    **recipe: Unpack[Recipe],
) -> Experiment:
    """Faster R-CNN with FPN that localizes each box by nine grid points."""
    model = TwoStageConfig(
        backbone=backbone,
        neck=FPNConfig(),
        rpn_head=RPNHeadConfig(
            box_loss=SmoothL1Loss(beta=1 / 9),
            border=0.0,
            train_select=proposals(2000, max_detections=2000),
        ),
        roi_head=roi_head,
    )
    warmup = Warmup(iterations=3665, ratio=1 / 80)
    recipe.setdefault("schedule", epochs(25, milestones=(17, 23), warmup=warmup))
    return experiment(model, **recipe)


ENTRIES = (
    Entry(
        "grid_rcnn_r101_fpn_gn-head_2x_coco",
        grid_rcnn(resnet(101)),
        box_ap=41.5,
        memory_gb=7.0,
        inference_ms=79.37,
        weights="grid_rcnn_r101_fpn_gn-head_2x_coco_20200309-d6eca030.pth",
    ),
    Entry(
        "grid_rcnn_r50_fpn_gn-head_1x_coco",
        grid_rcnn(schedule=epochs(12)),
    ),
    Entry(
        "grid_rcnn_r50_fpn_gn-head_2x_coco",
        grid_rcnn(),
        box_ap=40.4,
        memory_gb=5.1,
        inference_ms=66.67,
        weights="grid_rcnn_r50_fpn_gn-head_2x_coco_20200130-6cca8223.pth",
    ),
    Entry(
        "grid_rcnn_x101_32x4d_fpn_gn-head_2x_coco",
        grid_rcnn(resnext(32, 4)),
        box_ap=42.9,
        memory_gb=8.3,
        inference_ms=92.59,
        weights="grid_rcnn_x101_32x4d_fpn_gn-head_2x_coco_20200130-d8f0e3ff.pth",
    ),
    Entry(
        "grid_rcnn_x101_64x4d_fpn_gn-head_2x_coco",
        grid_rcnn(resnext(64, 4)),
        box_ap=43.0,
        memory_gb=11.3,
        inference_ms=129.87,
        weights="grid_rcnn_x101_64x4d_fpn_gn-head_2x_coco_20200204-ec76a754.pth",
    ),
)

FAMILY = Family(
    folder="grid_rcnn",
    title="Grid R-CNN",
    paper="https://arxiv.org/abs/1811.12030",
    entries=ENTRIES,
)
