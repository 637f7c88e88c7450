"""One-stage detectors of the zoo with dense heads of their own, narrow enough to run quickly."""

from __future__ import annotations

import dataclasses
from typing import Any

from detzoo import zoo
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.layers.norm import GroupNormConfig
from tests.detectors import models

NAMES = {
    "fcos": "fcos_r50_caffe_fpn_gn-head_1x_coco",
    "fcos-tricks": "fcos_center-normbbox-centeronreg-giou_r50_caffe_fpn_gn-head_dcn_1x_coco",
    "atss": "atss_r50_fpn_1x_coco",
    "paa": "paa_r50_fpn_1x_coco",
    "gfl": "gfl_r50_fpn_1x_coco",
    "fsaf": "fsaf_r50_fpn_1x_coco",
    "foveabox": "fovea_r50_fpn_4x4_1x_coco",
    "foveabox-align": "fovea_align_r50_fpn_gn-head_4x4_2x_coco",
    "free_anchor": "retinanet_free_anchor_r50_fpn_1x_coco",
    "ghm": "retinanet_ghm_r50_fpn_1x_coco",
    "autoassign": "autoassign_r50_fpn_8x2_1x_coco",
    "reppoints": "reppoints_moment_r50_fpn_gn-neck+head_1x_coco",
    "reppoints-minmax": "reppoints_partial_minmax_r50_fpn_gn-neck+head_1x_coco",
    "reppoints-grid": "bbox_r50_grid_center_fpn_gn-neck+head_1x_coco",
    "yolof": "yolof_r50_c5_8x8_1x_coco",
}


def detector(name: str, *, base_channels: int = 8, channels: int = 16) -> SingleStageConfig:
    """The detector of ``NAMES`` on a narrow ResNet-18, with narrow and shallow towers."""
    config = zoo.find(NAMES[name]).experiment.model
    assert isinstance(config, SingleStageConfig)
    backbone = dataclasses.replace(
        models.BACKBONE,
        base_channels=base_channels,
        frozen_stages=-1,
        out_stages=config.backbone.out_stages,  # type: ignore[attr-defined]
    )
    return dataclasses.replace(
        config,
        backbone=backbone,
        neck=narrow(config.neck, channels),
        bbox_head=narrow(config.bbox_head, channels),
    )


def narrow(value: Any, channels: int) -> Any:
    """The same configuration with few channels, convolutions and candidates."""
    if not dataclasses.is_dataclass(value):
        return value
    if isinstance(value, GroupNormConfig):
        return GroupNormConfig(groups=4)
    small = {"out_channels": channels, "channels": channels, "middle_channels": 8, "pre_nms": 200}
    small |= dict.fromkeys(("num_convs", "num_class_convs", "num_box_convs"), 1)
    fields = {f.name: narrow(getattr(value, f.name), channels) for f in dataclasses.fields(value)}
    fields |= {name: number for name, number in small.items() if fields.get(name) is not None}
    return type(value)(**fields)
