"""TOOD."""

from __future__ import annotations

from detzoo.assigners.task_aligned import TaskAlignedAssigner
from detzoo.coders.base import BoxCoder
from detzoo.coders.delta import DeltaCoder
from detzoo.coders.distance import DistanceCoder
from detzoo.heads.dense.tood import TOODHeadConfig
from detzoo.losses.classification import ClassificationLoss, FocalLoss
from detzoo.losses.generalized_focal import QualityFocalLoss
from detzoo.mmdet.adapters.detectors import single_stage
from detzoo.mmdet.adapters.one_stage_heads import tower_norm_of, towers_of
from detzoo.mmdet.adapters.training import border_of, detection_select, expect_plain_training
from detzoo.mmdet.known import HeadContext, require_settings
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts

adapts("detector", "TOOD")(single_stage)


@adapts("dense_head", "TOODHead")
def tood_head(node: Node, known: HeadContext) -> TOODHeadConfig:
    known.features.expect_channels(node)
    known.expect_classes(node)
    node.expect("reg_decoded_bbox", True, "as boxes are compared, not codes")
    train, test = require_settings(node, known)
    expect_plain_training(train)
    aligned = train.child("assigner")
    aligned.expect("type", "TaskAlignedAssigner", "what this head is about")
    loss = node.child("loss_cls")
    loss.expect("type", "QualityFocalLoss", "what this head is about")
    _expect_scores(loss)
    norm = tower_norm_of(node)
    if norm is None:
        raise node.error("norm_cfg", "is None; this head is not in the zoo without norms")
    return TOODHeadConfig(
        **towers_of(node),
        norm=norm,
        deformable_convs=node.take("num_dcn", 0),
        coder=_coder(node),
        priors=node.part("anchor_generator", "priors", known.features.strides),
        assigner=train.part("initial_assigner", "assigner"),
        aligned_assigner=TaskAlignedAssigner(
            num_candidates=aligned.take("topk"),
            score_exponent=float(train.take("alpha")),
            iou_exponent=float(train.take("beta")),
        ),
        initial_epochs=train.take("initial_epoch"),
        border=border_of(train),
        initial_classification_loss=_initial_loss(node),
        classification_loss=QualityFocalLoss(
            beta=float(loss.take("beta", 2.0)), weight=float(loss.take("loss_weight", 1.0))
        ),
        box_loss=node.part("loss_bbox", "box_loss"),
        select=detection_select(test),
    )


def _coder(node: Node) -> BoxCoder:
    """``anchor_type``; V2 reads ``bbox_coder`` for one of the two only."""
    kind = node.take("anchor_type", "anchor_free")
    coder: BoxCoder = node.part("bbox_coder", "coder")
    if kind == "anchor_based":
        return coder
    if kind != "anchor_free":
        raise node.error("anchor_type", f"{kind!r} is neither 'anchor_free' nor 'anchor_based'")
    if coder != DeltaCoder(stds=(0.1, 0.1, 0.2, 0.2)):
        raise node.error("bbox_coder", "is not read where anchor_type is 'anchor_free'")
    return DistanceCoder()


def _initial_loss(node: Node) -> ClassificationLoss:
    if not node.has("initial_loss_cls"):
        node.take("initial_loss_cls", None)
        return FocalLoss()
    loss = node.child("initial_loss_cls")
    _expect_scores(loss)
    adapted: ClassificationLoss = loss.adapt("classification_loss")
    return adapted


def _expect_scores(loss: Node) -> None:
    loss.expect("use_sigmoid", True, "as classes are asked for one by one", default=False)
    loss.expect("activated", True, "as scores are means of two", default=False)
