"""Heads on one square per cell: guided anchoring, SABL's RetinaNet."""

from __future__ import annotations

import dataclasses
from typing import Any

from detzoo.assigners.approximate import ApproximateIoUAssigner
from detzoo.heads.dense.guided_retina import GuidedRetinaHeadConfig
from detzoo.heads.dense.guided_rpn import GuidedRPNHeadConfig
from detzoo.heads.dense.sabl_retina import SABLRetinaHeadConfig
from detzoo.mmdet.adapters.layers import norm_of
from detzoo.mmdet.adapters.training import (
    border_of,
    detection_select,
    expect_plain_training,
    max_iou_assigner,
    proposal_select,
)
from detzoo.mmdet.known import HeadContext, require_settings
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts
from detzoo.postprocess.select import Select
from detzoo.priors.anchors import AnchorGrid, octave_scales


@adapts("proposal_head", "GARPNHead")
def guided_rpn_head(node: Node, known: HeadContext, proposals: Node | None) -> GuidedRPNHeadConfig:
    """V2's GARPNHead; ``proposals`` is ``train_cfg.rpn_proposal``."""
    train, test = require_settings(node, known)
    settings = _guided(node, known, train)
    if proposals is not None:
        settings["train_select"] = _proposals(proposals)
    return GuidedRPNHeadConfig(
        **settings, sampler=train.part("sampler", "sampler"), select=_proposals(test)
    )


@adapts("dense_head", "GARetinaHead")
def guided_retina_head(node: Node, known: HeadContext) -> GuidedRetinaHeadConfig:
    """V2's GARetinaHead."""
    known.expect_classes(node)
    train, test = require_settings(node, known)
    return GuidedRetinaHeadConfig(
        **_guided(node, known, train),
        num_convs=node.take("stacked_convs", 4),
        select=detection_select(test),
    )


@adapts("dense_head", "SABLRetinaHead")
def sabl_retina_head(node: Node, known: HeadContext) -> SABLRetinaHeadConfig:
    known.features.expect_channels(node)
    known.expect_classes(node)
    node.expect("reg_decoded_bbox", False, "as offsets are compared, not boxes")
    train, test = require_settings(node, known)
    expect_plain_training(train)
    squares, assigner = _squares(node, known, train.child("assigner"))
    return SABLRetinaHeadConfig(
        priors=squares,
        assigner=assigner,
        coder=node.part("bbox_coder", "coder"),
        classification_loss=node.part("loss_cls", "classification_loss"),
        bucket_loss_weight=bucket_loss_weight(node.child("loss_bbox_cls")),
        box_loss=node.part("loss_bbox_reg", "box_loss"),
        num_convs=node.take("stacked_convs", 4),
        channels=node.take("feat_channels", 256),
        norm=norm_of(node, default=None),
        border=border_of(train),
        select=detection_select(test),
    )


def bucket_loss_weight(node: Node) -> float:
    """``loss_bbox_cls`` of SABL's heads."""
    node.expect("type", "CrossEntropyLoss", "the loss of buckets")
    node.expect("use_sigmoid", True, "as each bucket is a question of its own", default=False)
    return float(node.take("loss_weight", 1.0))


def _guided(node: Node, known: HeadContext, train: Node) -> dict[str, Any]:
    known.features.expect_channels(node)
    node.expect("reg_decoded_bbox", False, "as codes are compared, not boxes")
    node.expect("deform_groups", 4, "as in all of the zoo")
    expect_plain_training(train)
    squares, shape_assigner = _squares(node, known, train.child("ga_assigner"))
    anchor_coder = node.part("anchor_coder", "coder")
    return {
        "priors": squares,
        "channels": node.take("feat_channels", 256),
        "anchor_coder": dataclasses.replace(anchor_coder, max_ratio=1e6),
        "coder": node.part("bbox_coder", "coder"),
        "min_location_score": float(node.take("loc_filter_thr", 0.01)),
        "location_loss": node.part("loss_loc", "classification_loss"),
        "shape_loss": node.part("loss_shape", "box_loss"),
        "classification_loss": node.part("loss_cls", "classification_loss"),
        "box_loss": node.part("loss_bbox", "box_loss"),
        "assigner": train.part("assigner", "assigner"),
        "shape_assigner": shape_assigner,
        "shape_sampler": train.part("ga_sampler", "sampler"),
        "center_ratio": float(train.take("center_ratio")),
        "ignore_ratio": float(train.take("ignore_ratio")),
        "border": border_of(train),
    }


def _squares(
    node: Node, known: HeadContext, assigner: Node
) -> tuple[AnchorGrid, ApproximateIoUAssigner]:
    """The squares, and the assigner that knows the shapes around them."""
    strides = known.features.strides
    squares: AnchorGrid = node.part("square_anchor_generator", "priors", strides)
    shapes = node.child("approx_anchor_generator")
    shapes.expect("type", "AnchorGenerator", "what the shapes around a square are")
    shapes.expect("strides", strides, "the strides of the feature maps")
    base = float(shapes.take("octave_base_scale"))
    if squares.scales != (base,) or squares.ratios != (1.0,):
        raise node.error(
            "square_anchor_generator", f"is not one square of approx_anchor_generator's {base}"
        )
    assigner.expect("type", "ApproxMaxIoUAssigner", "how squares are assigned")
    return squares, ApproximateIoUAssigner(
        matching=max_iou_assigner(assigner),
        scales=octave_scales(1.0, shapes.take("scales_per_octave")),
        ratios=tuple(float(ratio) for ratio in shapes.take("ratios")),
    )


def _proposals(node: Node) -> Select:
    """The choice of proposals; V2 limits those of each level, too."""
    per_level = node.take("nms_post", None)
    select = proposal_select(node)
    if per_level is None or per_level < select.max_detections:
        raise node.error("nms_post", f"{per_level} per level is fewer than are kept of all levels")
    return select
