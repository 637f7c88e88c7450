"""VarifocalNet."""

from __future__ import annotations

from detzoo.heads.dense.vfnet import DISTANCE_UNIT, STAR_GRADIENT, VFNetHeadConfig
from detzoo.layers.convolution import DeformConvConfig, PlainConvConfig
from detzoo.losses.varifocal import VarifocalLoss
from detzoo.mmdet.adapters.detectors import single_stage
from detzoo.mmdet.adapters.one_stage_heads import tower_norm_of, towers_of
from detzoo.mmdet.adapters.training import border_of, detection_select, expect_plain_training
from detzoo.mmdet.known import HeadContext, require_settings
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts
from detzoo.priors.anchors import AnchorGrid
from detzoo.priors.base import PriorGrid

adapts("detector", "VFNet")(single_stage)


@adapts("dense_head", "VFNetHead")
def vfnet_head(node: Node, known: HeadContext) -> VFNetHeadConfig:
    known.features.expect_channels(node)
    known.expect_classes(node)
    strides = known.features.strides
    node.expect("strides", strides, "the strides of the feature maps")
    for key, value, reason in (
        ("use_vfl", True, "as scores learn how good boxes are"),
        ("use_atss", True, "as an assigner chooses the points that are trained"),
        ("center_sampling", False, "as the assigner does not look at it"),
        ("center_sample_radius", 1.5, "as the assigner does not look at it"),
        ("reg_decoded_bbox", True, "as boxes are compared, not codes"),
        ("sync_num_pos", True, "as losses are always averaged over all processes"),
        ("gradient_mul", STAR_GRADIENT, "the part of the gradient here"),
        ("bbox_norm_type", "reg_denom", "as in all of the zoo"),
        ("conv_bias", "auto", "as in all of the zoo"),
    ):
        node.expect(key, value, reason)
    _expect_distance_unit(node, strides)
    deformable = node.take("dcn_on_last_conv", False)
    train, test = require_settings(node, known)
    expect_plain_training(train)
    return VFNetHeadConfig(
        **towers_of(node),
        norm=tower_norm_of(node),
        last_convolution=DeformConvConfig(modulated=True) if deformable else PlainConvConfig(),
        priors=_priors(node, strides),
        assigner=train.part("assigner", "assigner"),
        border=border_of(train),
        classification_loss=_varifocal_loss(node.child("loss_cls")),
        box_loss=node.part("loss_bbox", "box_loss"),
        refined_box_loss=node.part("loss_bbox_refine", "box_loss"),
        select=detection_select(test),
    )


def _priors(node: Node, strides: tuple[int, ...]) -> PriorGrid:
    """``anchor_generator``; by default one square anchor per cell."""
    if not node.has("anchor_generator"):
        node.take("anchor_generator", None)
        return AnchorGrid(scales=(8.0,), ratios=(1.0,))
    priors: PriorGrid = node.part("anchor_generator", "priors", strides)
    return priors


def _expect_distance_unit(node: Node, strides: tuple[int, ...]) -> None:
    """``regress_ranges``: V2 takes the larger sizes as the units of distances, and no more."""
    ranges = node.take("regress_ranges", ((-1, 64), (64, 128), (128, 256), (256, 512), (512, 1e8)))
    units = [high for _, high in ranges[:-1]]
    units.append(2 * units[-1])
    if units != [DISTANCE_UNIT * stride for stride in strides]:
        raise node.error("regress_ranges", f"are not up to {DISTANCE_UNIT} strides, level by level")


def _varifocal_loss(node: Node) -> VarifocalLoss:
    node.expect("type", "VarifocalLoss", "what this head is about")
    node.expect("use_sigmoid", True, "as classes are asked for one by one")
    node.expect("iou_weighted", True, "as good boxes count more")
    return VarifocalLoss(
        alpha=float(node.take("alpha", 0.75)),
        gamma=float(node.take("gamma", 2.0)),
        weight=float(node.take("loss_weight", 1.0)),
    )
