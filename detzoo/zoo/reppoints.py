"""RepPoints."""

from __future__ import annotations

import dataclasses

from typing_extensions import Unpack

from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.backbones.resnet import ResNetConfig
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.experiment import Experiment
from detzoo.heads.dense.reppoints import RepPointsHeadConfig
from detzoo.layers.convolution import DeformConvConfig
from detzoo.layers.norm import GroupNormConfig, NormConfig
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.optimizers import SGDConfig
from detzoo.optim.schedules import epochs
from detzoo.zoo.entry import Entry, Family
from detzoo.zoo.parts import Recipe, experiment, resnet, resnext

MINMAX = RepPointsHeadConfig(box_of_points="minmax")
GRID = RepPointsHeadConfig(box_of_points="minmax", grid_points=True)
GRID_BY_IOU = dataclasses.replace(
    GRID, first_assigner=MaxIoUAssigner(positive_iou=0.5, negative_iou=0.4)
)


def reppoints(
    backbone: ResNetConfig = resnet(50),
    head: RepPointsHeadConfig = RepPointsHeadConfig(),
    norm: NormConfig | None = GroupNormConfig(),
    **recipe: Unpack[Recipe],
) -> Experiment:
    """RepPoints with levels P3-P7 and the same norm in neck and head."""
    model = SingleStageConfig(
        backbone=backbone,
        neck=FPNConfig(start_level=1, extra_levels="on_input", norm=norm),
        bbox_head=dataclasses.replace(head, norm=norm),
    )
    recipe.setdefault("optimizer", SGDConfig(lr=0.01))
    return experiment(model, **recipe)


def deformable(backbone: ResNetConfig) -> ResNetConfig:
    """The backbone with deformable convolutions from its second stage on."""
    return dataclasses.replace(backbone, deformable=DeformConvConfig())


ENTRIES = (
    Entry(
        "bbox_r50_grid_center_fpn_gn-neck+head_1x_coco",
        reppoints(head=GRID),
        box_ap=37.4,
        memory_gb=3.9,
        inference_ms=64.94,
        weights="reppoints/bbox_r50_grid_fpn_gn-neck%2Bhead_1x_coco/bbox_r50_grid_fpn_gn-neck%2Bhead_1x_coco_20200329_145916-0eedf8d1.pth",
    ),
    Entry(
        "bbox_r50_grid_fpn_gn-neck+head_1x_coco",
        reppoints(head=GRID_BY_IOU),
        box_ap=36.4,
        memory_gb=3.9,
        inference_ms=62.89,
        weights="reppoints/bbox_r50_grid_fpn_gn-neck%2Bhead_1x_coco/bbox_r50_grid_fpn_gn-neck%2Bhead_1x_coco_20200329_145916-0eedf8d1.pth",
    ),
    Entry(
        "reppoints_minmax_r50_fpn_gn-neck+head_1x_coco",
        reppoints(head=MINMAX),
    ),
    Entry(
        "reppoints_moment_r101_fpn_dconv_c3-c5_gn-neck+head_2x_coco",
        reppoints(deformable(resnet(101)), schedule=epochs(24)),
        box_ap=42.9,
        memory_gb=5.9,
        inference_ms=82.64,
        weights="reppoints/reppoints_moment_r101_fpn_dconv_c3-c5_gn-neck%2Bhead_2x_coco/reppoints_moment_r101_fpn_dconv_c3-c5_gn-neck%2Bhead_2x_coco_20200329-3309fbf2.pth",
    ),
    Entry(
        "reppoints_moment_r101_fpn_gn-neck+head_2x_coco",
        reppoints(resnet(101), schedule=epochs(24)),
        box_ap=40.5,
        memory_gb=5.8,
        inference_ms=72.99,
        weights="reppoints/reppoints_moment_r101_fpn_gn-neck%2Bhead_2x_coco/reppoints_moment_r101_fpn_gn-neck%2Bhead_2x_coco_20200329-4fbc7310.pth",
    ),
    Entry(
        "reppoints_moment_r50_fpn_1x_coco",
        reppoints(norm=None),
        box_ap=37.0,
        memory_gb=3.3,
        inference_ms=54.05,
        weights="reppoints_moment_r50_fpn_1x_coco_20200330-b73db8d1.pth",
    ),
    Entry(
        "reppoints_moment_r50_fpn_gn-neck+head_1x_coco",
        reppoints(),
        box_ap=38.1,
        memory_gb=3.9,
        inference_ms=57.14,
        weights="reppoints/reppoints_moment_r50_fpn_gn-neck%2Bhead_1x_coco/reppoints_moment_r50_fpn_gn-neck%2Bhead_1x_coco_20200329_145952-3e51b550.pth",
    ),
    Entry(
        "reppoints_moment_r50_fpn_gn-neck+head_2x_coco",
        reppoints(schedule=epochs(24)),
        box_ap=38.6,
        memory_gb=3.9,
        inference_ms=57.14,
        weights="reppoints/reppoints_moment_r50_fpn_gn-neck%2Bhead_2x_coco/reppoints_moment_r50_fpn_gn-neck%2Bhead_2x_coco_20200329-91babaa2.pth",
    ),
    Entry(
        "reppoints_moment_x101_fpn_dconv_c3-c5_gn-neck+head_2x_coco",
        reppoints(deformable(resnext(32, 4)), schedule=epochs(24)),
        box_ap=44.2,
        memory_gb=7.1,
        inference_ms=107.53,
        weights="reppoints/reppoints_moment_x101_fpn_dconv_c3-c5_gn-neck%2Bhead_2x_coco/reppoints_moment_x101_fpn_dconv_c3-c5_gn-neck%2Bhead_2x_coco_20200329-f87da1ea.pth",
    ),
    Entry(
        "reppoints_partial_minmax_r50_fpn_gn-neck+head_1x_coco",
        reppoints(head=RepPointsHeadConfig(box_of_points="partial_minmax")),
    ),
)

FAMILY = Family(
    folder="reppoints",
    title="RepPoints",
    paper="https://arxiv.org/abs/1904.11490",
    entries=ENTRIES,
)
