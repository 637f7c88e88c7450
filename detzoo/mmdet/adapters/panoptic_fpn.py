"""Panoptic FPN."""

from __future__ import annotations

from detzoo.detectors.panoptic_fpn import PanopticFPNConfig
from detzoo.heads.semantic_fpn import SemanticFPNHeadConfig
from detzoo.layers.norm import GroupNormConfig
from detzoo.mmdet.adapters.detectors import trunk_of
from detzoo.mmdet.adapters.layers import norm_of
from detzoo.mmdet.known import Features, HeadContext
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts
from detzoo.postprocess.panoptic import HeuristicFusion
from detzoo.structures import Pixels


@adapts("detector", "PanopticFPN")
def panoptic_fpn(node: Node, num_classes: int, pixels: Pixels) -> PanopticFPNConfig:
    trunk, features = trunk_of(node, pixels)
    train, test = node.optional_child("train_cfg"), node.optional_child("test_cfg")
    part = None if test is None else test.optional_child("panoptic")
    if part is None or test is None:
        raise node.error("test_cfg.panoptic", "missing: how are things and stuff fused?")
    test.leave("rcnn", "test_cfg.panoptic says which things are fused")
    rpn = HeadContext(
        features,
        num_classes,
        None if train is None else train.optional_child("rpn"),
        test.optional_child("rpn"),
    )
    rcnn = HeadContext(
        features, num_classes, None if train is None else train.optional_child("rcnn"), part
    )
    proposals = None if train is None else train.optional_child("rpn_proposal")
    fusion = node.child("panoptic_fusion_head")
    fusion.expect("type", "HeuristicFusionHead", "how things and stuff are fused")
    num_stuff = fusion.take("num_stuff_classes", 53)
    fusion.expect("num_things_classes", num_classes, "the number of things", default=80)
    return PanopticFPNConfig(
        **trunk,
        rpn_head=node.part("rpn_head", "proposal_head", rpn, proposals),
        roi_head=node.part("roi_head", "roi_head", rcnn),
        semantic_head=_semantic_head(node.child("semantic_head"), features, num_classes, num_stuff),
        fusion=HeuristicFusion(
            max_overlap=float(part.take("mask_overlap")),
            min_stuff_area=part.take("stuff_area_limit"),
        ),
    )


def _semantic_head(
    node: Node, features: Features, num_things: int, num_stuff: int
) -> SemanticFPNHeadConfig:
    node.expect("type", "PanopticFPNHead", "the head of stuff")
    node.expect("num_things_classes", num_things, "the number of things", default=80)
    node.expect("num_stuff_classes", num_stuff, "what panoptic_fusion_head says", default=53)
    former = {
        "num_classes": num_stuff + 1,
        "fg_range": (0, num_things - 1),
        "bg_range": (num_things, num_things + num_stuff - 1),
    }
    for key, value in former.items():
        if node.has(key):
            node.expect(key, value, "as follows from the numbers of things and stuff")
        node.take(key, None)
    features.expect_channels(node)
    node.expect("start_level", 0, "as the finest level is used", default=0)
    node.expect("conv_cfg", None, "as convolutions are plain")
    norm = norm_of(node, default=GroupNormConfig(groups=32))
    loss = node.child("loss_seg")
    loss.expect("type", "CrossEntropyLoss", "the loss of pixels")
    loss.expect("ignore_index", 255, "the value of pixels without a class", default=-100)
    return SemanticFPNHeadConfig(
        num_levels=node.take("end_level", 4),
        channels=node.take("inner_channels", 128),
        norm=norm,
        loss_weight=float(loss.take("loss_weight", 1.0)),
    )
