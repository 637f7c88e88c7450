"""RoI heads that add to a standard one: scores of masks, points of masks, grids of boxes; SABL."""

from __future__ import annotations

import math

from detzoo.coders.delta import DeltaCoder
from detzoo.heads.roi.classifier import RegionClassifierConfig
from detzoo.heads.roi.coarse_mask_head import CoarseMaskHeadConfig
from detzoo.heads.roi.grid import GridRoIHeadConfig
from detzoo.heads.roi.grid_head import GridHeadConfig
from detzoo.heads.roi.mask_iou_head import MaskIoUHeadConfig
from detzoo.heads.roi.mask_scoring import MaskScoringRoIHeadConfig
from detzoo.heads.roi.point_extractor import PointSamplingConfig
from detzoo.heads.roi.point_head import PointHeadConfig
from detzoo.heads.roi.point_rend import PointRendRoIHeadConfig
from detzoo.heads.roi.sabl_head import NUM_CONVS, SABLHeadConfig
from detzoo.layers.norm import GroupNormConfig
from detzoo.mmdet.adapters.guided_heads import bucket_loss_weight
from detzoo.mmdet.adapters.layers import norm_of
from detzoo.mmdet.adapters.roi_heads import Regions
from detzoo.mmdet.adapters.training import detection_select, expect_plain_training
from detzoo.mmdet.known import HeadContext, require_settings
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts


@adapts("box_head", "SABLHead")
def sabl_head(node: Node, regions: Regions) -> SABLHeadConfig:
    node.expect("num_classes", regions.num_classes, "the number of class names")
    node.expect("roi_feat_size", regions.size, "the size of the regions", default=7)
    for key in ("cls_in_channels", "reg_in_channels"):
        node.expect(key, regions.channels, "the channels of the regions", default=256)
    node.expect("num_cls_fcs", 1, "as one layer sees the classes")
    node.expect("num_reg_fcs", 0, "as none is between features and sides")
    for key in ("reg_offset_out_channels", "reg_cls_out_channels"):
        node.expect(key, regions.channels, "the channels of the regions", default=256)
    node.expect("reg_pre_num", NUM_CONVS, "as in all of the zoo")
    node.expect("reg_post_num", 1, "as in all of the zoo")
    for key in ("reg_pre_kernel", "reg_post_kernel"):
        node.expect(key, 3, "as in all of the zoo")
    node.expect("reg_class_agnostic", True, "as sides are found in one way for all classes")
    node.expect("norm_cfg", None, "as in all of the zoo")
    coder = node.part("bbox_coder", "coder")
    ratio = coder.num_buckets // regions.size
    node.expect("reg_feat_up_ratio", ratio, "buckets per cell of a region", default=2)
    return SABLHeadConfig(
        fc_channels=node.take("cls_out_channels", 1024),
        coder=coder,
        classification_loss=node.part("loss_cls", "classification_loss"),
        bucket_loss_weight=bucket_loss_weight(node.child("loss_bbox_cls")),
        box_loss=node.part("loss_bbox_reg", "box_loss"),
    )


@adapts("roi_head", "MaskScoringRoIHead")
def mask_scoring_roi_head(node: Node, known: HeadContext) -> MaskScoringRoIHeadConfig:
    train, test = require_settings(node, known)
    expect_plain_training(train)
    extractor = node.part("bbox_roi_extractor", "roi_extractor", known)
    mask_extractor = node.part("mask_roi_extractor", "roi_extractor", known)
    train.expect("mask_size", 2 * mask_extractor.output_size, "the size of the head's masks")
    regions = _regions(known, mask_extractor.output_size)
    threshold = test.take("mask_thr_binary", 0.5)
    return MaskScoringRoIHeadConfig(
        extractor=extractor,
        box_head=node.part("bbox_head", "box_head", _regions(known, extractor.output_size)),
        mask_extractor=mask_extractor,
        mask_head=node.part("mask_head", "mask_head", regions, threshold),
        mask_iou_head=_mask_iou_head(
            node.child("mask_iou_head"), regions, train.take("mask_thr_binary")
        ),
        assigner=train.part("assigner", "assigner"),
        sampler=train.part("sampler", "sampler"),
        select=detection_select(test),
    )


def _mask_iou_head(node: Node, regions: Regions, logit_threshold: float) -> MaskIoUHeadConfig:
    node.expect("type", "MaskIoUHead", "what rates masks")
    _expect_regions(node, regions)
    node.expect("roi_feat_size", regions.size, "the size of the regions", default=14)
    loss = node.optional_child("loss_iou")
    weight = 0.5
    if loss is not None:
        loss.expect("type", "MSELoss", "the loss of mask scores")
        weight = float(loss.take("loss_weight", 1.0))
    return MaskIoUHeadConfig(
        num_convs=node.take("num_convs", 4),
        channels=node.take("conv_out_channels", 256),
        num_fcs=node.take("num_fcs", 2),
        fc_channels=node.take("fc_out_channels", 1024),
        loss_weight=weight,
        logit_threshold=logit_threshold,
    )


@adapts("roi_head", "PointRendRoIHead")
def point_rend_roi_head(node: Node, known: HeadContext) -> PointRendRoIHeadConfig:
    train, test = require_settings(node, known)
    expect_plain_training(train)
    extractor = node.part("bbox_roi_extractor", "roi_extractor", known)
    mask_extractor = _point_extractor(node.child("mask_roi_extractor"), known)
    regions = _regions(known, mask_extractor.output_size)
    train.expect("mask_size", regions.size // 2, "the size of the coarse masks")
    threshold = test.take("mask_thr_binary", 0.5)
    return PointRendRoIHeadConfig(
        extractor=extractor,
        box_head=node.part("bbox_head", "box_head", _regions(known, extractor.output_size)),
        mask_extractor=mask_extractor,
        mask_head=_coarse_mask_head(node.child("mask_head"), regions, threshold),
        point_head=_point_head(node.child("point_head"), regions, train, test),
        assigner=train.part("assigner", "assigner"),
        sampler=train.part("sampler", "sampler"),
        select=detection_select(test),
    )


def _point_extractor(node: Node, known: HeadContext) -> PointSamplingConfig:
    node.expect("type", "GenericRoIExtractor", "how coarse masks see a region")
    node.expect("aggregation", "concat", "which one level makes no difference to", default="sum")
    node.expect("featmap_strides", known.features.strides[:1], "the stride of the finest map")
    node.expect("finest_scale", 56, "which one level makes no difference to")
    known.features.expect_channels(node, "out_channels")
    layer = node.child("roi_layer")
    layer.expect("type", "SimpleRoIAlign", "how coarse masks see a region")
    return PointSamplingConfig(output_size=layer.take("output_size"))


def _coarse_mask_head(node: Node, regions: Regions, threshold: float) -> CoarseMaskHeadConfig:
    node.expect("type", "CoarseMaskHead", "what makes coarse masks")
    _expect_regions(node, regions)
    node.expect("num_convs", 0, "as in all of the zoo")
    node.expect("downsample_factor", 2, "as in all of the zoo")
    return CoarseMaskHeadConfig(
        channels=node.take("conv_out_channels", 256),
        num_fcs=node.take("num_fcs", 2),
        fc_channels=node.take("fc_out_channels", 1024),
        loss_weight=_mask_loss_weight(node.child("loss_mask")),
        threshold=threshold,
    )


def _point_head(node: Node, regions: Regions, train: Node, test: Node) -> PointHeadConfig:
    node.expect("type", "MaskPointHead", "what decides points")
    _expect_regions(node, regions)
    node.expect("class_agnostic", False, "as this head has a mask per class")
    node.expect("coarse_pred_each_layer", True, "as in all of the zoo")
    test.expect("scale_factor", 2, "as masks double their size")
    return PointHeadConfig(
        num_fcs=node.take("num_fcs", 3),
        channels=node.take("fc_channels", 256),
        loss_weight=_mask_loss_weight(node.child("loss_point")),
        num_points=train.take("num_points"),
        oversampling=train.take("oversample_ratio"),
        uncertain_part=float(train.take("importance_sample_ratio")),
        num_subdivisions=test.take("subdivision_steps"),
        points_per_subdivision=test.take("subdivision_num_points"),
    )


@adapts("roi_head", "GridRoIHead")
def grid_roi_head(node: Node, known: HeadContext) -> GridRoIHeadConfig:
    train, test = require_settings(node, known)
    expect_plain_training(train)
    extractor = node.part("bbox_roi_extractor", "roi_extractor", known)
    grid_extractor = node.part("grid_roi_extractor", "roi_extractor", known)
    box_regions = _regions(known, extractor.output_size)
    return GridRoIHeadConfig(
        extractor=extractor,
        box_head=_classifier(node.child("bbox_head"), box_regions),
        grid_extractor=grid_extractor,
        grid_head=_grid_head(
            node.child("grid_head"),
            _regions(known, grid_extractor.output_size),
            train.take("pos_radius"),
        ),
        max_regions=train.take("max_num_grid", 192),
        assigner=train.part("assigner", "assigner"),
        sampler=train.part("sampler", "sampler"),
        select=detection_select(test),
    )


def _classifier(node: Node, regions: Regions) -> RegionClassifierConfig:
    node.expect("type", "Shared2FCBBoxHead", "what classifies regions")
    node.expect("with_reg", False, "as the grid finds the boxes", default=True)
    _expect_regions(node, regions)
    node.expect("roi_feat_size", regions.size, "the size of the regions", default=7)
    node.expect("reg_class_agnostic", False, "as there is no regression to change")
    coder = node.optional_part("bbox_coder", "coder")
    if coder not in (None, DeltaCoder(stds=(0.1, 0.1, 0.2, 0.2))):
        raise node.error("bbox_coder", "is for nothing, as the grid finds the boxes")
    loss = node.optional_part("loss_cls", "classification_loss")
    settings = {} if loss is None else {"classification_loss": loss}
    return RegionClassifierConfig(
        num_fcs=2, fc_channels=node.take("fc_out_channels", 1024), **settings
    )


def _grid_head(node: Node, regions: Regions, radius: int) -> GridHeadConfig:
    node.expect("type", "GridHead", "what finds points")
    node.expect("in_channels", regions.channels, "the channels of the regions", default=256)
    node.expect("roi_feat_size", regions.size, "the size of the regions", default=14)
    node.expect("class_agnostic", False, "as in all of the zoo")
    loss = node.child("loss_grid")
    loss.expect("type", "CrossEntropyLoss", "the loss of heatmaps")
    loss.expect("use_sigmoid", True, "as each cell is a question of its own", default=False)
    points = node.take("grid_points", 9)
    size = math.isqrt(points)
    if size**2 != points:
        raise node.error("grid_points", f"{points} is no square")
    return GridHeadConfig(
        grid_size=size,
        num_convs=node.take("num_convs", 8),
        point_channels=node.take("point_feat_channels", 64),
        norm=norm_of(node, default=GroupNormConfig(groups=36)) or GroupNormConfig(groups=36),
        loss_weight=float(loss.take("loss_weight", 1.0)),
        radius=radius,
    )


def _regions(known: HeadContext, size: int) -> Regions:
    return Regions(known.features.channels[0], size, known.num_classes)


def _expect_regions(node: Node, regions: Regions) -> None:
    node.expect("in_channels", regions.channels, "the channels of the regions", default=256)
    node.expect("num_classes", regions.num_classes, "the number of class names", default=80)


def _mask_loss_weight(node: Node) -> float:
    node.expect("type", "CrossEntropyLoss", "the loss of masks")
    node.expect("use_mask", True, "as each region learns the mask of its class", default=False)
    return float(node.take("loss_weight", 1.0))
