"""SSD, YOLOv3 and YOLOX: their heads, priors and assigners."""

from __future__ import annotations

from detzoo.assigners.grid import GridAssigner
from detzoo.assigners.sim_ota import SimOTAAssigner
from detzoo.heads.dense.ssd import SSDHeadConfig
from detzoo.heads.dense.yolov3 import EPS, YOLOv3HeadConfig
from detzoo.heads.dense.yolox import YOLOXHeadConfig
from detzoo.layers.csp import YOLOX_NORM
from detzoo.layers.norm import BatchNormConfig, NormConfig
from detzoo.losses.boxes import SmoothL1Loss
from detzoo.mmdet.adapters.layers import activation_of, norm_of
from detzoo.mmdet.adapters.training import border_of, detection_select, expect_plain_training
from detzoo.mmdet.known import HeadContext, require_settings
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts
from detzoo.postprocess.select import Select
from detzoo.priors.legacy import LegacySSDAnchors
from detzoo.priors.ssd import SSDAnchors
from detzoo.priors.yolo import YOLOAnchors

# Size of the first level in percent of the input, by input size and least ratio of the others.
_FIRST_PERCENT = {(300, 0.15): 7, (300, 0.2): 10, (512, 0.1): 4, (512, 0.15): 7}


@adapts("dense_head", "SSDHead")
def ssd_head(node: Node, known: HeadContext) -> SSDHeadConfig:
    node.expect("in_channels", known.features.channels, "the channels of the feature maps")
    known.expect_classes(node)
    node.expect("stacked_convs", 0, "as nothing comes before the predictors")
    node.take("feat_channels", 256)
    train, test = require_settings(node, known)
    expect_plain_training(train)
    priors: SSDAnchors = node.part("anchor_generator", "priors", known.features.strides)
    norm = separable_norm_of(node)
    _expect_init(node, "Normal" if norm else "Xavier", 0.001)
    return SSDHeadConfig(
        priors=priors,
        coder=node.part("bbox_coder", "coder"),
        assigner=train.part("assigner", "assigner"),
        box_loss=SmoothL1Loss(beta=float(train.take("smoothl1_beta", 1.0))),
        border=border_of(train),
        negative_ratio=train.take("neg_pos_ratio"),
        separable_norm=norm,
        select=detection_select(test),
    )


def separable_norm_of(node: Node) -> NormConfig | None:
    """``use_depthwise``, and the norm and activation that come with it in SSDLite."""
    is_light = node.take("use_depthwise", False)
    norm = norm_of(node, default=None)
    activation = activation_of(node, default="relu")
    if (norm is not None, activation) != ((True, "relu6") if is_light else (False, "relu")):
        raise node.error(
            "use_depthwise",
            "depthwise convolutions have a norm and ReLU6, the others no norm and ReLU",
        )
    return norm


def _expect_init(node: Node, kind: str, std: float) -> None:
    init = node.optional_child("init_cfg")
    if init is not None:
        init.expect("type", kind, "how these layers start")
        init.expect("layer", "Conv2d", "which of these layers start so")
        init.expect("std", std, "how these layers start")


@adapts("priors", "SSDAnchorGenerator", "LegacySSDAnchorGenerator")
def ssd_anchors(node: Node, strides: tuple[int, ...]) -> SSDAnchors:
    node.expect("scale_major", False, "as SSD orders its boxes by shape", default=True)
    ratios = node.take("ratios")
    least, most = node.take("min_sizes", None), node.take("max_sizes", None)
    if least is None or most is None:
        least, most = _sizes(node, len(ratios))
    if least[1:] != most[:-1]:
        raise node.error("max_sizes", f"{most} do not end where the next level begins: {least}")
    kind = LegacySSDAnchors if node.type == "LegacySSDAnchorGenerator" else SSDAnchors
    return kind(sizes=(*least, most[-1]), ratios=ratios, strides=node.take("strides"))


def _sizes(node: Node, num_levels: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Least and greatest box of each level: evenly spread, but for the first level."""
    side, (low, high) = node.take("input_size", 300), node.take("basesize_ratio_range", (0.15, 0.9))
    if (side, low) not in _FIRST_PERCENT:
        known = ", ".join(f"{size} with {ratio}" for size, ratio in _FIRST_PERCENT)
        raise node.error("basesize_ratio_range", f"{side} with {low} is not one of {known}")
    start, end = int(low * 100), int(high * 100)
    step = (end - start) // (num_levels - 2)
    percents = [_FIRST_PERCENT[side, low], *range(start, end + 1, step)]
    ends = [*percents[1:], percents[-1] + step]
    least, most = (tuple(int(side * p / 100) for p in ps) for ps in (percents, ends))
    return least, most


@adapts("dense_head", "YOLOV3Head")
def yolov3_head(node: Node, known: HeadContext) -> YOLOv3HeadConfig:
    node.expect("in_channels", known.features.channels, "the channels of the feature maps")
    node.expect("featmap_strides", known.features.strides, "the strides of the feature maps")
    known.expect_classes(node)
    coder = node.child("bbox_coder")
    coder.expect("type", "YOLOBBoxCoder", "the code of YOLOv3")
    coder.expect("eps", EPS, "how near the border of its cell a center may be")
    train, test = require_settings(node, known)
    test.expect("nms_pre", 1000, "as V2's YOLOv3 does not look at it")
    norm = norm_of(node, default=BatchNormConfig())
    if norm is None or activation_of(node, default="leaky_relu") != "leaky_relu":
        raise node.error("norm_cfg", "YOLOv3's convolutions have a norm and a leaky ReLU")
    return YOLOv3HeadConfig(
        anchors=node.part("anchor_generator", "priors", known.features.strides),
        channels=node.take("out_channels"),
        norm=norm,
        assigner=train.part("assigner", "assigner"),
        class_weight=_weight(node, "loss_cls", 1.0),
        confidence_weight=_weight(node, "loss_conf", 1.0),
        center_weight=_weight(node, "loss_xy", 1.0),
        size_weight=_weight(node, "loss_wh", 1.0, "MSELoss"),
        min_confidence=float(test.take("conf_thr", 0.0)),
        select=detection_select(test),
    )


def _weight(node: Node, key: str, default: float, kind: str = "CrossEntropyLoss") -> float:
    """The weight of a loss whose kind is fixed; ``default`` where V2's head brings its own."""
    loss = node.optional_child(key)
    if loss is None:
        return default
    loss.expect("type", kind, f"the {key} of this head")
    loss.expect("reduction", "sum", "as the head divides by itself", default="mean")
    if kind == "CrossEntropyLoss":
        loss.expect("use_sigmoid", True, "as classes do not exclude each other", default=False)
    return float(loss.take("loss_weight", 1.0))


@adapts("priors", "YOLOAnchorGenerator")
def yolo_anchors(node: Node, strides: tuple[int, ...]) -> YOLOAnchors:
    node.expect("strides", strides, "the strides of the feature maps")
    return YOLOAnchors(sizes=node.take("base_sizes"))


@adapts("assigner", "GridAssigner")
def grid_assigner(node: Node) -> GridAssigner:
    node.expect("gt_max_assign_all", True, "as every anchor of the highest overlap is assigned")
    return GridAssigner(
        positive_iou=float(node.take("pos_iou_thr")),
        negative_iou=float(node.take("neg_iou_thr")),
        min_positive_iou=float(node.take("min_pos_iou", 0.0)),
    )


@adapts("dense_head", "YOLOXHead")
def yolox_head(node: Node, known: HeadContext) -> YOLOXHeadConfig:
    known.features.expect_channels(node)
    known.expect_classes(node)
    node.expect("strides", known.features.strides, "the strides of the feature maps")
    train, test = require_settings(node, known)
    norm = norm_of(node, default=YOLOX_NORM)
    if norm is None or activation_of(node, default="silu") != "silu":
        raise node.error("norm_cfg", "YOLOX's convolutions have a norm and SiLU")
    box_loss = node.optional_child("loss_bbox")
    weight = 5.0
    if box_loss is not None:
        box_loss.expect("type", "IoULoss", "the loss of boxes of this head")
        box_loss.expect("mode", "square", "how far the IoU is from 1 here", default="log")
        box_loss.expect("reduction", "sum", "as the head divides by itself", default="mean")
        box_loss.take("eps", None)  # no IoU is smaller
        weight = float(box_loss.take("loss_weight", 1.0))
    return YOLOXHeadConfig(
        channels=node.take("feat_channels", 256),
        num_convs=node.take("stacked_convs", 2),
        depthwise=node.take("use_depthwise", False),
        norm=norm,
        assigner=train.part("assigner", "assigner"),
        class_weight=_weight(node, "loss_cls", 1.0),
        object_weight=_weight(node, "loss_obj", 1.0),
        box_weight=weight,
        l1_weight=_weight(node, "loss_l1", 1.0, "L1Loss"),
        select=Select(
            min_score=float(test.take("score_thr")),
            suppression=test.part("nms", "nms"),
            max_detections=test.take("max_per_img", None),
        ),
    )


@adapts("assigner", "SimOTAAssigner")
def sim_ota_assigner(node: Node) -> SimOTAAssigner:
    return SimOTAAssigner(
        center_radius=float(node.take("center_radius", 2.5)),
        num_candidates=node.take("candidate_topk", 10),
        class_weight=float(node.take("cls_weight", 1.0)),
        iou_weight=float(node.take("iou_weight", 3.0)),
    )
