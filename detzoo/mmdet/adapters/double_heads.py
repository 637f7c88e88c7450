"""Double-Head R-CNN."""

from __future__ import annotations

import dataclasses

from detzoo.heads.roi.double_head import DoubleHeadConfig, DoublePoolingConfig
from detzoo.heads.roi.standard import StandardRoIHeadConfig
from detzoo.layers.norm import BatchNormConfig
from detzoo.mmdet.adapters.layers import norm_of
from detzoo.mmdet.adapters.roi_heads import Regions, box_outputs, standard_roi_head
from detzoo.mmdet.known import HeadContext
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts


@adapts("roi_head", "DoubleHeadRoIHead")
def double_head_roi_head(node: Node, known: HeadContext) -> StandardRoIHeadConfig:
    """A standard head that sees each region twice."""
    factor = float(node.take("reg_roi_scale_factor"))
    head = standard_roi_head(node, known)
    once = {
        field.name: getattr(head.extractor, field.name)
        for field in dataclasses.fields(head.extractor)
    }
    return dataclasses.replace(head, extractor=DoublePoolingConfig(**once, enlargement=factor))


@adapts("box_head", "DoubleConvFCBBoxHead")
def double_head(node: Node, regions: Regions) -> DoubleHeadConfig:
    node.expect("with_avg_pool", True, "as boxes come from averages")
    node.expect("conv_cfg", None, "as in all of the zoo")
    if norm_of(node, default=BatchNormConfig()) != BatchNormConfig():
        raise node.error("norm_cfg", "is not batch norm")
    outputs = box_outputs(node, regions)
    if outputs.pop("normalized_classifier"):
        raise node.error("cls_predictor_cfg", "is not read by this head")
    return DoubleHeadConfig(
        num_convs=node.take("num_convs"),
        conv_channels=node.take("conv_out_channels", 1024),
        num_fcs=node.take("num_fcs"),
        fc_channels=node.take("fc_out_channels", 1024),
        **outputs,
    )
