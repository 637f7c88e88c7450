"""SCNet."""

from __future__ import annotations

from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.heads.roi.context_head import ContextHeadConfig
from detzoo.heads.roi.mask_head import MaskHeadConfig
from detzoo.heads.roi.scnet import SCNetRoIHeadConfig
from detzoo.mmdet.adapters.cascade_heads import (
    CascadeContext,
    semantic_settings,
    stages_of,
)
from detzoo.mmdet.adapters.roi_heads import Regions, box_outputs, mask_settings
from detzoo.mmdet.adapters.training import detection_select
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts


@adapts("cascade_head", "SCNetRoIHead")
def scnet_roi_head(node: Node, known: CascadeContext) -> SCNetRoIHeadConfig:
    extractor = node.part("bbox_roi_extractor", "roi_extractor", known.single)
    mask_extractor = node.part("mask_roi_extractor", "roi_extractor", known.single)
    channels, size = known.features.channels[0], mask_extractor.output_size
    for train in known.train:
        train.expect("mask_size", 2 * size, "the size of the head's masks")
    stages = stages_of(node, known, extractor.output_size)
    last = stages[-1].box_head
    assert isinstance(last, BoxHeadConfig)
    relay = node.child("feat_relay_head")
    for key, value in (
        ("type", "FeatureRelayHead"),
        ("in_channels", last.fc_channels),
        ("out_conv_channels", channels),
        ("roi_feat_size", extractor.output_size),
        ("scale_factor", size / extractor.output_size),
    ):
        relay.expect(key, value, "what the last box head makes of a region, for the mask head")
    return SCNetRoIHeadConfig(
        stages=stages,
        extractor=extractor,
        mask_extractor=mask_extractor,
        mask_head=_mask_head(node.child("mask_head"), known, size),
        context_head=_context_head(node.child("glbctx_head"), known),
        select=detection_select(known.test),
        **semantic_settings(node, known, "SCNetSemanticHead", residual=True),
    )


@adapts("box_head", "SCNetBBoxHead")
def scnet_box_head(node: Node, regions: Regions) -> BoxHeadConfig:
    node.expect("with_avg_pool", False, "as layers see every cell of a region")
    return BoxHeadConfig(
        num_shared_fcs=node.take("num_shared_fcs", 0),
        fc_channels=node.take("fc_out_channels", 1024),
        **box_outputs(node, regions),
    )


def _mask_head(node: Node, known: CascadeContext, size: int) -> MaskHeadConfig:
    node.expect("type", "SCNetMaskHead", "what makes masks")
    node.expect("conv_to_res", True, "as convolutions are residual")
    regions = Regions(known.features.channels[0], size, known.num_classes)
    return mask_settings(node, regions, known.test.take("mask_thr_binary", 0.5), residual=True)


def _context_head(node: Node, known: CascadeContext) -> ContextHeadConfig:
    channels = known.features.channels[0]
    for key, value in (
        ("type", "GlobalContextHead"),
        ("in_channels", channels),
        ("conv_out_channels", channels),
        ("num_classes", known.num_classes),
        ("conv_to_res", True),
    ):
        node.expect(key, value, "what says what the image shows")
    for key in ("conv_cfg", "norm_cfg"):
        node.expect(key, None, "as in all of the zoo")
    return ContextHeadConfig(
        num_convs=node.take("num_convs", 4), loss_weight=float(node.take("loss_weight", 1.0))
    )
