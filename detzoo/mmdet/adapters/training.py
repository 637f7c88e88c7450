"""Value objects around the heads: priors, coders, assigners, samplers, losses, suppression."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from detzoo.assigners.max_iou import MaxIoUAssigner
from detzoo.assigners.region import RegionAssigner
from detzoo.coders.buckets import NUM_NEAREST, BucketCoder
from detzoo.coders.delta import DeltaCoder
from detzoo.coders.legacy import LegacyDeltaCoder
from detzoo.losses.boxes import (
    BalancedL1Loss,
    BoundedIoULoss,
    CIoULoss,
    DIoULoss,
    GIoULoss,
    IoULoss,
    L1Loss,
    SmoothL1Loss,
)
from detzoo.losses.classification import (
    ClassificationLoss,
    FocalLoss,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
)
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts, stands_in
from detzoo.postprocess.nms import NMS, GaussianSoftNMS, SoftNMS, Suppression
from detzoo.postprocess.select import Select
from detzoo.priors.anchors import AnchorGrid, octave_scales
from detzoo.priors.legacy import LegacyAnchorGrid
from detzoo.samplers.balanced import BalancedSampler
from detzoo.samplers.ohem import OHEMSampler
from detzoo.samplers.random import RandomSampler


@adapts("priors", "AnchorGenerator", "LegacyAnchorGenerator")
def anchors(node: Node, strides: tuple[int, ...]) -> AnchorGrid:
    node.expect("strides", strides, "the strides of the feature maps")
    node.expect("scale_major", True, "as the anchors of the zoo")
    if node.take("base_sizes", None) not in (None, strides):
        raise node.error("base_sizes", f"are not {strides}, as anchors are in strides")
    node.expect("centers", None, "as anchors are where cells are")
    scales = node.take("scales", None)
    base, per_octave = node.take("octave_base_scale", None), node.take("scales_per_octave", None)
    if (scales is None) == (base is None) or (base is None) != (per_octave is None):
        raise node.error(
            "scales", "give either scales, or octave_base_scale with scales_per_octave"
        )
    if scales is None:
        scales = octave_scales(float(base), per_octave)
    kind = LegacyAnchorGrid if node.type == "LegacyAnchorGenerator" else AnchorGrid
    return kind(
        scales=tuple(float(scale) for scale in scales),
        ratios=_floats(node.take("ratios")),
        center=float(node.take("center_offset", 0.0)),
    )


@adapts("coder", "DeltaXYWHBBoxCoder")
def delta_coder(node: Node) -> DeltaCoder:
    node.expect("clip_border", True, "as boxes are always cut at the image")
    return DeltaCoder(
        means=_floats(node.take("target_means", (0.0, 0.0, 0.0, 0.0))),
        stds=_floats(node.take("target_stds", (1.0, 1.0, 1.0, 1.0))),
        max_shift=_max_shift(node),
    )


@adapts("coder", "LegacyDeltaXYWHBBoxCoder")
def legacy_delta_coder(node: Node) -> LegacyDeltaCoder:
    return LegacyDeltaCoder(
        means=_floats(node.take("target_means", (0.0, 0.0, 0.0, 0.0))),
        stds=_floats(node.take("target_stds", (1.0, 1.0, 1.0, 1.0))),
    )


def _max_shift(node: Node) -> float | None:
    if node.take("add_ctr_clamp", False):
        return float(node.take("ctr_clamp", 32))
    node.expect("ctr_clamp", 32, "as nothing is clamped without add_ctr_clamp")
    return None


@adapts("coder", "BucketingBBoxCoder")
def bucket_coder(node: Node) -> BucketCoder:
    node.expect("clip_border", True, "as boxes are always cut at the image")
    node.expect("offset_topk", NUM_NEAREST, "the number of buckets that learn an offset")
    node.expect("offset_upperbound", 1.0, "in buckets, how far the second may be")
    node.expect("cls_ignore_neighbor", True, "as a bucket nearly right is not wrong")
    return BucketCoder(num_buckets=node.take("num_buckets"), scale=float(node.take("scale_factor")))


@adapts("assigner", "MaxIoUAssigner")
def max_iou_assigner(node: Node) -> MaxIoUAssigner:
    node.ignore("gpu_assign_thr")
    overlaps = node.optional_child("iou_calculator")
    if overlaps is not None:
        overlaps.expect("type", "BboxOverlaps2D", "how overlaps are measured")
    node.expect("ignore_wrt_candidates", True, "as coverage is of the candidates")
    coverage = float(node.take("ignore_iof_thr", -1))
    return MaxIoUAssigner(
        positive_iou=float(node.take("pos_iou_thr")),
        negative_iou=float(node.take("neg_iou_thr")),
        min_positive_iou=float(node.take("min_pos_iou", 0.0)),
        match_low_quality=node.take("match_low_quality", True),
        match_ties=node.take("gt_max_assign_all", True),
        ignored_iof=coverage if coverage > 0 else None,
    )


@adapts("assigner", "RegionAssigner")
def region_assigner(node: Node) -> RegionAssigner:
    return RegionAssigner(
        center_ratio=float(node.take("center_ratio", 0.2)),
        ignore_ratio=float(node.take("ignore_ratio", 0.5)),
    )


@adapts("sampler", "RandomSampler")
def random_sampler(node: Node) -> RandomSampler:
    return RandomSampler(**sampler_settings(node))


@adapts("sampler", "OHEMSampler")
def ohem_sampler(node: Node) -> OHEMSampler:
    return OHEMSampler(**sampler_settings(node))


@adapts("sampler", "PseudoSampler")
def no_sampler(node: Node) -> None:
    """V2's PseudoSampler: every candidate is trained on."""


@adapts("sampler", "CombinedSampler")
def combined_sampler(node: Node) -> BalancedSampler:
    """V2's CombinedSampler, of samplers for positives and for negatives."""
    positive, negative = node.child("pos_sampler"), node.child("neg_sampler")
    if positive.type not in ("InstanceBalancedPosSampler", "RandomSampler"):
        raise positive.error("type", f"{positive.type!r} samples no positives in detzoo")
    if negative.type not in ("IoUBalancedNegSampler", "RandomSampler"):
        raise negative.error("type", f"{negative.type!r} samples no negatives in detzoo")
    return BalancedSampler(
        **sampler_settings(node),
        num_iou_bins=_iou_bins(negative) if negative.type == "IoUBalancedNegSampler" else 1,
        balances_positives=positive.type == "InstanceBalancedPosSampler",
    )


def _iou_bins(node: Node) -> int:
    node.expect("floor_thr", -1, "as negatives of any IoU are balanced")
    node.expect("floor_fraction", 0, "as negatives of any IoU are balanced")
    bins: int = node.take("num_bins", 3)
    return bins


@adapts("sampler", "IoUBalancedNegSampler")
def balanced_negatives(node: Node) -> BalancedSampler:
    settings = sampler_settings(node)
    return BalancedSampler(**settings, num_iou_bins=_iou_bins(node), balances_positives=False)


@adapts("sampler", "InstanceBalancedPosSampler")
def balanced_positives(node: Node) -> BalancedSampler:
    return BalancedSampler(**sampler_settings(node), num_iou_bins=1)


def sampler_settings(node: Node) -> dict[str, Any]:
    """What all samplers have."""
    ratio = node.take("neg_pos_ub", -1)
    return {
        "max_negatives_per_positive": float(ratio) if ratio >= 0 else None,
        "num": node.take("num"),
        "positive_fraction": float(node.take("pos_fraction")),
        "adds_targets": node.take("add_gt_as_proposals", True),
    }


@stands_in("assigner")
def any_assigner(settings: Mapping[str, Any]) -> MaxIoUAssigner:
    return MaxIoUAssigner(positive_iou=0.5, negative_iou=0.5)


@stands_in("sampler")
def any_sampler(settings: Mapping[str, Any]) -> RandomSampler:
    return RandomSampler(num=512, positive_fraction=0.25)


@stands_in("box_loss")
def any_box_loss(settings: Mapping[str, Any]) -> L1Loss:
    return L1Loss()


@stands_in("classification_loss")
def any_classification_loss(settings: Mapping[str, Any]) -> ClassificationLoss:
    """V2's heads ask the settings of a loss, whatever it is, whether scores are sigmoids."""
    return SigmoidCrossEntropy() if settings.get("use_sigmoid") else SoftmaxCrossEntropy()


@adapts("classification_loss", "CrossEntropyLoss")
def cross_entropy(node: Node) -> ClassificationLoss:
    uses_sigmoid = node.take("use_sigmoid", False)
    kind = SigmoidCrossEntropy if uses_sigmoid else SoftmaxCrossEntropy
    weights = node.take("class_weight", None)
    if weights is not None and not isinstance(weights, tuple):
        raise node.error("class_weight", f"{weights!r} is not a list with a value for each class")
    return kind(
        weight=float(node.take("loss_weight", 1.0)),
        class_weights=None if weights is None else tuple(float(one) for one in weights),
    )


@adapts("classification_loss", "FocalLoss")
def focal_loss(node: Node) -> FocalLoss:
    node.expect("use_sigmoid", True, "as focal loss is defined on sigmoids here")
    return FocalLoss(
        gamma=float(node.take("gamma", 2.0)),
        alpha=node.take("alpha", 0.25),
        weight=float(node.take("loss_weight", 1.0)),
    )


@adapts("box_loss", "L1Loss")
def l1_loss(node: Node) -> L1Loss:
    return L1Loss(weight=float(node.take("loss_weight", 1.0)))


@adapts("box_loss", "SmoothL1Loss")
def smooth_l1_loss(node: Node) -> SmoothL1Loss:
    return SmoothL1Loss(
        beta=float(node.take("beta", 1.0)), weight=float(node.take("loss_weight", 1.0))
    )


@adapts("box_loss", "BalancedL1Loss")
def balanced_l1_loss(node: Node) -> BalancedL1Loss:
    return BalancedL1Loss(
        alpha=float(node.take("alpha", 0.5)),
        gamma=float(node.take("gamma", 1.5)),
        beta=float(node.take("beta", 1.0)),
        weight=float(node.take("loss_weight", 1.0)),
    )


@adapts("box_loss", "IoULoss")
def iou_loss(node: Node) -> IoULoss:
    kind: Any = "linear" if node.take("linear", False) else node.take("mode", "log")
    eps, weight = node.take("eps", 1e-6), float(node.take("loss_weight", 1.0))
    return IoULoss(eps=eps, kind=kind, weight=weight)


@adapts("box_loss", "GIoULoss")
def giou_loss(node: Node) -> GIoULoss:
    return GIoULoss(eps=node.take("eps", 1e-6), weight=float(node.take("loss_weight", 1.0)))


@adapts("box_loss", "DIoULoss")
def diou_loss(node: Node) -> DIoULoss:
    return DIoULoss(eps=node.take("eps", 1e-6), weight=float(node.take("loss_weight", 1.0)))


@adapts("box_loss", "CIoULoss")
def ciou_loss(node: Node) -> CIoULoss:
    return CIoULoss(eps=node.take("eps", 1e-6), weight=float(node.take("loss_weight", 1.0)))


@adapts("box_loss", "BoundedIoULoss")
def bounded_iou_loss(node: Node) -> BoundedIoULoss:
    return BoundedIoULoss(
        beta=node.take("beta", 0.2),
        eps=node.take("eps", 1e-3),
        weight=float(node.take("loss_weight", 1.0)),
    )


@adapts("nms", "nms")
def nms(node: Node) -> NMS:
    node.leave("split_thr", "how V2 divides the work")
    return NMS(max_iou=float(_max_iou(node)), class_agnostic=node.take("class_agnostic", False))


@adapts("nms", "soft_nms")
def soft_nms(node: Node) -> SoftNMS | GaussianSoftNMS:
    node.leave("split_thr", "how V2 divides the work")
    method, least = node.take("method", "linear"), node.take("min_score", 1e-3)
    if method == "gaussian":
        node.expect("iou_threshold", 0.5, "as a Gaussian lowers scores at any overlap")
        return GaussianSoftNMS(sigma=float(node.take("sigma", 0.5)), min_score=least)
    if method != "linear":
        raise node.error("method", f"{method!r} is neither 'linear' nor 'gaussian'")
    return SoftNMS(max_iou=float(_max_iou(node)), min_score=least)


def _max_iou(node: Node) -> float:
    # The older name is that of V2 until 2.2.
    old = node.take("iou_thr", None)
    return node.take("iou_threshold", old) if old is not None else node.take("iou_threshold")


def detection_select(node: Node) -> Select:
    """The choice of detections by a dense or RoI head's ``test_cfg``."""
    pre_nms = node.take("nms_pre", -1)
    node.expect("min_bbox_size", 0, "as boxes without area are always dropped", default=0)
    suppression = node.child("nms")
    limits = (_most(suppression.take("max_num", -1)), _most(node.take("max_per_img")))
    return Select(
        min_score=float(node.take("score_thr")),
        pre_nms=pre_nms if pre_nms > 0 else None,
        suppression=suppression.adapt("nms"),
        max_detections=min((limit for limit in limits if limit is not None), default=None),
    )


def _most(count: int) -> int | None:
    """A number of detections, of which -1 means all."""
    return None if count < 0 else count


def proposal_select(node: Node) -> Select:
    """The choice of proposals: ``test_cfg.rpn``, or ``train_cfg.rpn_proposal``."""
    node.expect("min_bbox_size", 0, "as boxes without area are always dropped", default=0)
    node.expect("nms_across_levels", False, "as proposals compete within their level")
    # Names of V2 until 2.3.
    node.take("nms_post", None)
    threshold, most = node.take("nms_thr", None), node.take("max_num", None)
    if most is None:
        most = node.take("max_per_img")
    else:
        node.expect("max_per_img", most, "what max_num says")
    if threshold is None or node.has("nms"):
        suppression: Suppression = node.part("nms", "nms")
    else:
        suppression = NMS(max_iou=float(threshold))
    if threshold is not None and getattr(suppression, "max_iou", None) != threshold:
        raise node.error("nms_thr", f"{threshold} is not nms.iou_threshold, which it was called")
    return Select(
        min_score=0.0, pre_nms=node.take("nms_pre"), suppression=suppression, max_detections=most
    )


def border_of(node: Node) -> float | None:
    """``train_cfg.allowed_border``."""
    border = node.take("allowed_border", -1)
    return None if border < 0 else float(border)


def expect_plain_training(node: Node) -> None:
    """Takes the settings of a ``train_cfg`` that nothing in the zoo changes."""
    node.ignore("debug")
    weight = node.take("pos_weight", -1)
    if weight == 1:
        node.reading.aside[node.at("pos_weight")] = "positives count once without being told"
    elif weight > 0:
        reason = f"{weight} would weight positives; no loss here does"
        node.reading.note(node.error("pos_weight", reason))


def _floats(values: tuple[float, ...]) -> Any:
    return tuple(float(value) for value in values)
