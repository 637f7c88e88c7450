"""Dense heads on points, and on anchors with assignments of their own."""

from __future__ import annotations

from typing import Any

from detzoo.assigners.atss import ATSSAssigner
from detzoo.assigners.center_region import CenterRegionAssigner
from detzoo.assigners.fovea import FoveaAssigner
from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.assigners.point import PointAssigner
from detzoo.assigners.size_range import SizeRangeAssigner
from detzoo.assigners.uniform import UniformAssigner
from detzoo.coders.tblr import TBLRCoder
from detzoo.heads.dense import autoassign as auto
from detzoo.heads.dense import fovea as foveabox
from detzoo.heads.dense import free_anchor as free
from detzoo.heads.dense import reppoints as points
from detzoo.heads.dense.atss import ATSSHeadConfig
from detzoo.heads.dense.fcos import FCOSHeadConfig, NASFCOSHeadConfig
from detzoo.heads.dense.fsaf import FSAFHeadConfig
from detzoo.heads.dense.gfl import GFLHeadConfig
from detzoo.heads.dense.harmonized_retina import HarmonizedRetinaHeadConfig
from detzoo.heads.dense.paa import PAAHeadConfig
from detzoo.heads.dense.retina import RetinaHeadConfig
from detzoo.heads.dense.yolof import YOLOFHeadConfig
from detzoo.layers.convolution import DeformConvConfig, PlainConvConfig
from detzoo.layers.norm import BatchNormConfig, GroupNormConfig, NormConfig
from detzoo.losses.generalized_focal import DistributionFocalLoss, QualityFocalLoss
from detzoo.losses.gradient_harmonized import (
    HarmonizedClassificationConfig,
    HarmonizedRegressionConfig,
)
from detzoo.mmdet.adapters.dense_heads import retina_head as plain_retina_head
from detzoo.mmdet.adapters.layers import norm_of
from detzoo.mmdet.adapters.training import (
    border_of,
    detection_select,
    expect_plain_training,
)
from detzoo.mmdet.known import HeadContext, require_settings
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts
from detzoo.priors.points import PointGrid

# V2's stand-in for no limit.
UNLIMITED = 1e8


# ------------------------------------------------------------------------------------ on points


@adapts("dense_head", "FCOSHead")
def fcos_head(node: Node, known: HeadContext) -> FCOSHeadConfig:
    bias = node.take("conv_bias", "auto")
    deformable = node.take("dcn_on_last_conv", False)
    towers = towers_of(node)
    towers["conv_bias"] = False if bias == "auto" else bias
    towers["last_convolution"] = (
        DeformConvConfig(modulated=True) if deformable else PlainConvConfig()
    )
    return FCOSHeadConfig(**towers, **_point_settings(node, known))


@adapts("dense_head", "NASFCOSHead")
def nas_fcos_head(node: Node, known: HeadContext) -> NASFCOSHeadConfig:
    channels = node.take("feat_channels", 256)
    return NASFCOSHeadConfig(channels=channels, **_point_settings(node, known))


def _point_settings(node: Node, known: HeadContext) -> dict[str, Any]:
    """What FCOS and NAS-FCOS have in common."""
    known.features.expect_channels(node)
    known.expect_classes(node)
    node.expect("strides", known.features.strides, "the strides of the feature maps")
    train, test = require_settings(node, known)
    _expect_unused(train)
    _centerness_weight(node, expected=1.0)
    return {
        "norm": tower_norm_of(node),
        "normalized_distances": node.take("norm_on_bbox", False),
        "centerness_on_boxes": node.take("centerness_on_reg", False),
        "assigner": _size_ranges(node),
        "classification_loss": node.part("loss_cls", "classification_loss"),
        "box_loss": node.part("loss_bbox", "box_loss"),
        "select": detection_select(test),
    }


def _size_ranges(node: Node) -> SizeRangeAssigner:
    usual = ((-1, 64), (64, 128), (128, 256), (256, 512), (512, UNLIMITED))
    ranges = node.take("regress_ranges", usual)
    limits = tuple(float(high) for _, high in ranges[:-1])
    starts = tuple(float(low) for low, _ in ranges[1:])
    if starts != limits or ranges[0][0] > 0 or ranges[-1][1] < UNLIMITED:
        raise node.error("regress_ranges", f"{ranges} does not cover all sizes, level by level")
    if not node.take("center_sampling", False):
        node.expect("center_sample_radius", 1.5, "as center_sampling is off")
        return SizeRangeAssigner(limits=limits)
    radius = float(node.take("center_sample_radius", 1.5))
    return SizeRangeAssigner(limits=limits, center_radius=radius)


@adapts("dense_head", "FoveaHead")
def fovea_head(node: Node, known: HeadContext) -> foveabox.FoveaHeadConfig:
    known.features.expect_channels(node)
    known.expect_classes(node)
    strides = known.features.strides
    node.expect("strides", strides, "the strides of the feature maps")
    node.expect("deform_groups", foveabox.DEFORMABLE_GROUPS, "as in all of the zoo")
    _, test = require_settings(node, known)
    edges = node.take("base_edge_list", (16, 32, 64, 128, 256))
    sizes = {edge / stride for edge, stride in zip(edges, strides)}
    if len(edges) != len(strides) or len(sizes) != 1:
        raise node.error("base_edge_list", f"{edges} are not in one ratio to strides {strides}")
    ranges = node.take("scale_ranges", ((8, 32), (16, 64), (32, 128), (64, 256), (128, 512)))
    return foveabox.FoveaHeadConfig(
        **towers_of(node),
        norm=norm_of(node, default=None),
        aligned=node.take("with_deform", False),
        priors=PointGrid(size=sizes.pop()),
        assigner=FoveaAssigner(
            size_ranges=tuple((float(low), float(high)) for low, high in ranges),
            sigma=node.take("sigma", 0.4),
        ),
        classification_loss=node.part("loss_cls", "classification_loss"),
        box_loss=node.part("loss_bbox", "box_loss"),
        select=detection_select(test),
    )


@adapts("dense_head", "AutoAssignHead")
def autoassign_head(node: Node, known: HeadContext) -> auto.AutoAssignHeadConfig:
    known.features.expect_channels(node)
    known.expect_classes(node)
    node.expect("strides", known.features.strides, "the strides of the feature maps")
    node.expect("force_topk", False, "as points outside a target never learn it")
    for key, value in (
        ("pos_loss_weight", auto.POSITIVE_WEIGHT),
        ("neg_loss_weight", auto.NEGATIVE_WEIGHT),
        ("center_loss_weight", auto.CENTER_WEIGHT),
    ):
        node.expect(key, value, "the weight of that loss here")
    if known.test is None:
        raise node.error("type", "has no settings in model.test_cfg")
    return auto.AutoAssignHeadConfig(
        **towers_of(node),
        norm=tower_norm_of(node),
        box_loss=node.part("loss_bbox", "box_loss"),
        select=detection_select(known.test),
    )


@adapts("dense_head", "RepPointsHead")
def reppoints_head(node: Node, known: HeadContext) -> points.RepPointsHeadConfig:
    known.features.expect_channels(node)
    known.expect_classes(node)
    node.expect("point_strides", known.features.strides, "the strides of the feature maps")
    node.expect("num_points", points.NUM_POINTS, "the number of points here")
    node.expect("gradient_mul", points.POINT_GRADIENT, "the part of the gradient here")
    node.expect("moment_mul", points.MOMENT_GRADIENT, "the part of the gradient here")
    node.expect("center_init", True, "as free points start from the center")
    train, test = require_settings(node, known)
    first, second = train.child("init"), train.child("refine")
    for stage in (first, second):
        expect_plain_training(stage)
        stage.expect("allowed_border", -1, "as V2 does not look at it")
    towers = towers_of(node)
    node.expect("point_feat_channels", towers["channels"], "feat_channels", default=256)
    return points.RepPointsHeadConfig(
        **towers,
        norm=norm_of(node, default=None),
        priors=points.AnchorGrid(scales=(float(node.take("point_base_scale", 4)),), ratios=(1.0,)),
        box_of_points=node.take("transform_method", "moment"),
        grid_points=node.take("use_grid_points", False),
        first_assigner=first.part("assigner", "assigner"),
        second_assigner=second.part("assigner", "assigner"),
        classification_loss=node.part("loss_cls", "classification_loss"),
        first_box_loss=node.part("loss_bbox_init", "box_loss"),
        second_box_loss=node.part("loss_bbox_refine", "box_loss"),
        select=detection_select(test),
    )


# ----------------------------------------------------------------------------------- on anchors


@adapts("dense_head", "ATSSHead")
def atss_head(node: Node, known: HeadContext) -> ATSSHeadConfig:
    _centerness_weight(node, expected=1.0)
    return ATSSHeadConfig(**_atss_layers(node, known))


@adapts("dense_head", "PAAHead")
def paa_head(node: Node, known: HeadContext) -> PAAHeadConfig:
    return PAAHeadConfig(**paa_settings(node, known))


def paa_settings(node: Node, known: HeadContext) -> dict[str, Any]:
    """What PAA and LAD have in common."""
    votes = node.take("score_voting", True)
    if known.test is not None and known.test.take("score_voting", votes) != votes:
        reason = "V2 looks at that of the head"
        node.reading.aside[known.test.at("score_voting")] = reason
    node.expect("covariance_type", "diag", "what all are the same of, for single numbers")
    return {
        **_atss_layers(node, known),
        "iou_loss_weight": _centerness_weight(node),
        "candidates_per_level": node.take("topk", 9),
        "votes": votes,
    }


@adapts("dense_head", "GFLHead")
def gfl_head(node: Node, known: HeadContext) -> GFLHeadConfig:
    return GFLHeadConfig(**gfl_settings(node, known))


def gfl_settings(node: Node, known: HeadContext) -> dict[str, Any]:
    """What GFL and LD have in common."""
    quality, distribution = node.child("loss_cls"), node.child("loss_dfl")
    quality.expect("type", "QualityFocalLoss", "what this head is about")
    quality.expect("use_sigmoid", True, "as classes are asked for one by one")
    distribution.expect("type", "DistributionFocalLoss", "what this head is about")
    return {
        **towers_of(node),
        **anchors_of(node, known),
        "norm": tower_norm_of(node),
        "max_distance": node.take("reg_max", 16),
        "classification_loss": QualityFocalLoss(
            beta=float(quality.take("beta", 2.0)), weight=float(quality.take("loss_weight", 1.0))
        ),
        "distribution_loss": DistributionFocalLoss(
            weight=float(distribution.take("loss_weight", 1.0))
        ),
        "box_loss": node.part("loss_bbox", "box_loss"),
    }


@adapts("dense_head", "FSAFHead")
def fsaf_head(node: Node, known: HeadContext) -> FSAFHeadConfig:
    node.expect("reg_decoded_bbox", True, "as boxes are compared, not codes", default=False)
    node.expect("score_threshold", None, "as the recall counts all scores")
    losses = node.child("loss_cls"), node.child("loss_bbox")
    for loss in losses:
        loss.expect("reduction", "none", "as losses are compared first", default="mean")
    anchors = anchors_of(node, known)
    if anchors.pop("border") is not None:
        raise node.error("type", "takes anchors beyond the image as well: allowed_border is -1")
    return FSAFHeadConfig(
        **towers_of(node),
        **anchors,
        coder=node.part("bbox_coder", "coder"),
        classification_loss=losses[0].adapt("classification_loss"),
        box_loss=losses[1].adapt("box_loss"),
    )


@adapts("dense_head", "YOLOFHead")
def yolof_head(node: Node, known: HeadContext) -> YOLOFHeadConfig:
    node.expect("reg_decoded_bbox", True, "as boxes are compared, not codes", default=False)
    node.expect("num_cls_convs", 2, "as in all of the zoo")
    if norm_of(node, default=BatchNormConfig()) != BatchNormConfig():
        raise node.error("norm_cfg", "is not batch norm")
    anchors = anchors_of(node, known)
    if anchors.pop("border") is not None:
        raise node.error("type", "takes anchors beyond the image as well: allowed_border is -1")
    return YOLOFHeadConfig(
        **anchors,
        coder=node.part("bbox_coder", "coder"),
        num_box_convs=node.take("num_reg_convs", 4),
        classification_loss=node.part("loss_cls", "classification_loss"),
        box_loss=node.part("loss_bbox", "box_loss"),
    )


@adapts("dense_head", "FreeAnchorRetinaHead")
def free_anchor_head(node: Node, known: HeadContext) -> free.FreeAnchorHeadConfig:
    known.features.expect_channels(node)
    known.expect_classes(node)
    for key, value in (
        ("pre_anchor_topk", free.BAG_SIZE),
        ("bbox_thr", free.MIN_IOU),
        ("gamma", free.GAMMA),
        ("alpha", free.ALPHA),
    ):
        node.expect(key, value, "the value of the paper")
    train, test = require_settings(node, known)
    _expect_unused(train)
    return free.FreeAnchorHeadConfig(
        **towers_of(node),
        priors=node.part("anchor_generator", "priors", known.features.strides),
        coder=node.part("bbox_coder", "coder"),
        box_loss=node.part("loss_bbox", "box_loss"),
        select=detection_select(test),
    )


@adapts("dense_head", "RetinaHead")
def retina_head(node: Node, known: HeadContext) -> RetinaHeadConfig | HarmonizedRetinaHeadConfig:
    """V2's RetinaHead, of which one with harmonised losses is a head of its own here."""
    loss = node.left.get("loss_cls")
    if not (isinstance(loss, dict) and loss.get("type") == "GHMC"):
        return plain_retina_head(node, known)
    classification, box = node.child("loss_cls"), node.child("loss_bbox")
    classification.expect("type", "GHMC", "as loss_bbox is GHMR")
    classification.expect("use_sigmoid", True, "as classes are asked for one by one")
    box.expect("type", "GHMR", "as loss_cls is GHMC")
    anchors = anchors_of(node, known)
    if anchors.pop("border") is not None:
        raise node.error("type", "takes anchors beyond the image as well: allowed_border is -1")
    return HarmonizedRetinaHeadConfig(
        **towers_of(node),
        **anchors,
        coder=node.part("bbox_coder", "coder"),
        classification_loss=HarmonizedClassificationConfig(
            bins=classification.take("bins", 10),
            momentum=float(classification.take("momentum", 0)),
            weight=float(classification.take("loss_weight", 1.0)),
        ),
        box_loss=HarmonizedRegressionConfig(
            mu=box.take("mu", 0.02),
            bins=box.take("bins", 10),
            momentum=float(box.take("momentum", 0)),
            weight=float(box.take("loss_weight", 1.0)),
        ),
    )


def _atss_layers(node: Node, known: HeadContext) -> dict[str, Any]:
    """What the heads of ATSS and PAA have in common."""
    node.expect("reg_decoded_bbox", True, "as boxes are compared, not codes")
    return {
        **towers_of(node),
        **anchors_of(node, known),
        "norm": tower_norm_of(node),
        "kernel_size": node.take("pred_kernel_size", 3),
        "coder": node.part("bbox_coder", "coder"),
        "classification_loss": node.part("loss_cls", "classification_loss"),
        "box_loss": node.part("loss_bbox", "box_loss"),
    }


def anchors_of(node: Node, known: HeadContext) -> dict[str, Any]:
    """Anchors, their assignment, and the choice of detections."""
    known.features.expect_channels(node)
    known.expect_classes(node)
    train, test = require_settings(node, known)
    expect_plain_training(train)
    return {
        "priors": node.part("anchor_generator", "priors", known.features.strides),
        "assigner": train.part("assigner", "assigner"),
        "border": border_of(train),
        "select": detection_select(test),
    }


def towers_of(node: Node) -> dict[str, Any]:
    """Length and width of the towers."""
    return {
        "num_convs": node.take("stacked_convs", 4),
        "channels": node.take("feat_channels", 256),
    }


def tower_norm_of(node: Node) -> NormConfig | None:
    """``norm_cfg`` of a head whose V2 class has group norms by default."""
    if node.original.get("norm_cfg", {}) is None:
        node.take("norm_cfg")
        return None
    return norm_of(node, default=GroupNormConfig())


def _centerness_weight(node: Node, expected: float | None = None) -> float:
    """The weight of ``loss_centerness``, which is always a binary cross entropy."""
    loss = node.optional_child("loss_centerness")
    if loss is None:
        return 1.0
    loss.expect("type", "CrossEntropyLoss", "as in all of the zoo")
    loss.expect("use_sigmoid", True, "as in all of the zoo", default=False)
    weight = float(loss.take("loss_weight", 1.0))
    if expected is not None and weight != expected:
        raise loss.error("loss_weight", f"{weight} is not {expected}, as in all of the zoo")
    return weight


def _expect_unused(train: Node) -> None:
    """Takes a ``train_cfg`` that V2 does not look at: RetinaNet's, which such files carry along."""
    expect_plain_training(train)
    train.expect("allowed_border", -1, "as V2 does not look at it")
    assigner = train.optional_child("assigner")
    if assigner is not None:
        carried = assigner.adapt("assigner")
        if carried != MaxIoUAssigner(positive_iou=0.5, negative_iou=0.4):
            raise assigner.error("type", "is another assigner than the one V2 does not look at")


# ------------------------------------------------------------------------- assigners and coders


@adapts("assigner", "ATSSAssigner")
def atss_assigner(node: Node) -> ATSSAssigner:
    node.expect("alpha", None, "as costs are IoUs")
    node.expect("ignore_iof_thr", -1, "as in all of the zoo")
    return ATSSAssigner(candidates_per_level=node.take("topk"))


@adapts("assigner", "CenterRegionAssigner")
def center_region_assigner(node: Node) -> CenterRegionAssigner:
    node.expect("ignore_gt_scale", 0.5, "as regions to ignore are not looked at")
    node.expect("foreground_dominate", False, "as a prior with two objects of a class has none")
    return CenterRegionAssigner(
        positive_scale=node.take("pos_scale"),
        ignored_scale=node.take("neg_scale"),
        min_iof=node.take("min_pos_iof", 0.01),
    )


@adapts("assigner", "PointAssigner")
def point_assigner(node: Node) -> PointAssigner:
    return PointAssigner(scale=float(node.take("scale", 4)), num_points=node.take("pos_num", 3))


@adapts("assigner", "UniformAssigner")
def uniform_assigner(node: Node) -> UniformAssigner:
    return UniformAssigner(
        matches=node.take("match_times", 4),
        min_iou=node.take("pos_ignore_thr"),
        ignored_iou=node.take("neg_ignore_thr"),
    )


@adapts("coder", "TBLRBBoxCoder")
def tblr_coder(node: Node) -> TBLRCoder:
    node.expect("clip_border", True, "as boxes are always cut at the image")
    return TBLRCoder(scale=float(node.take("normalizer", 4.0)))
