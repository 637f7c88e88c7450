"""Detectors that predict masks on grids: SOLO."""

from __future__ import annotations

from typing import Any

from detzoo.detectors.solo import SOLOConfig
from detzoo.heads.mask_grid.decoupled import DecoupledSOLOHeadConfig, DecoupledSOLOLightHeadConfig
from detzoo.heads.mask_grid.solo import SOLOHeadConfig
from detzoo.layers.norm import GroupNormConfig
from detzoo.mmdet.adapters.detectors import trunk_of
from detzoo.mmdet.adapters.layers import norm_of
from detzoo.mmdet.adapters.query_heads import dice_loss
from detzoo.mmdet.known import HeadContext
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts
from detzoo.postprocess.matrix_nms import MaskSelect, MatrixNMS
from detzoo.structures import Pixels


@adapts("detector", "SOLO")
def solo(node: Node, num_classes: int, pixels: Pixels) -> SOLOConfig:
    trunk, features = trunk_of(node, pixels)
    node.optional_child("train_cfg")  # SOLO has no settings for training: any in it is unknown
    context = HeadContext(features, num_classes, None, node.child("test_cfg"))
    return SOLOConfig(**trunk, mask_head=node.part("mask_head", "mask_grid_head", context))


@adapts("mask_grid_head", "SOLOHead")
def solo_head(node: Node, known: HeadContext) -> SOLOHeadConfig:
    return SOLOHeadConfig(**mask_grid_settings(node, known, activates=True))


@adapts("mask_grid_head", "DecoupledSOLOHead")
def decoupled_solo_head(node: Node, known: HeadContext) -> DecoupledSOLOHeadConfig:
    return DecoupledSOLOHeadConfig(**mask_grid_settings(node, known, activates=False))


@adapts("mask_grid_head", "DecoupledSOLOLightHead")
def decoupled_solo_light_head(node: Node, known: HeadContext) -> DecoupledSOLOLightHeadConfig:
    node.expect("dcn_cfg", None, "as no configuration of the zoo has deformable convolutions here")
    return DecoupledSOLOLightHeadConfig(**mask_grid_settings(node, known, activates=False))


def mask_grid_settings(node: Node, known: HeadContext, *, activates: bool) -> dict[str, Any]:
    """What all of these heads have."""
    known.expect_classes(node)
    known.features.expect_channels(node)
    strides = known.features.strides
    resized = (strides[1], *strides[1:-1], strides[-2])
    node.expect("strides", resized, "those of the maps, the first and the last resized")
    node.expect("cls_down_index", 0, "as maps are resized to grids before the first layer")
    return {
        "num_convs": node.take("stacked_convs", 4),
        "channels": node.take("feat_channels", 256),
        "grids": node.take("num_grids"),
        "scale_ranges": tuple((float(low), float(high)) for low, high in node.take("scale_ranges")),
        "center_fraction": float(node.take("pos_scale")),
        "norm": norm_of(node, default=GroupNormConfig(groups=32)),
        "classification_loss": node.part("loss_cls", "classification_loss"),
        "mask_loss": dice_loss(node.child("loss_mask"), activates=activates),
        "select": _select(known),
    }


def _select(known: HeadContext) -> MaskSelect:
    assert known.test is not None
    test = known.test
    test.expect("kernel", "gaussian", "how scores fall with overlaps")
    return MaskSelect(
        min_score=float(test.take("score_thr")),
        mask_threshold=float(test.take("mask_thr")),
        pre_nms=test.take("nms_pre"),
        suppression=MatrixNMS(
            sigma=float(test.take("sigma")), min_score=float(test.take("filter_thr"))
        ),
        max_detections=test.take("max_per_img"),
    )
