"""RPN and RetinaNet heads."""

from __future__ import annotations

from typing import Any

from detzoo.heads.dense.retina import RetinaHeadConfig
from detzoo.heads.dense.retina_sep_norm import RetinaSepNormHeadConfig
from detzoo.heads.dense.rpn import RPNHeadConfig
from detzoo.losses.boxes import BoxLoss, LossOfBoxes, LossOfDeltas
from detzoo.mmdet.adapters.layers import norm_of
from detzoo.mmdet.adapters.training import (
    border_of,
    detection_select,
    expect_plain_training,
    proposal_select,
)
from detzoo.mmdet.known import HeadContext, require_settings
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts


def box_loss_of(node: Node) -> Any:
    """``loss_bbox``; ``reg_decoded_bbox`` says whether V2 gives it boxes or codes."""
    loss: BoxLoss = node.part("loss_bbox", "box_loss")
    gets_boxes = node.take("reg_decoded_bbox", False)
    if gets_boxes == loss.on_boxes:
        return loss
    return LossOfBoxes(loss=loss) if gets_boxes else LossOfDeltas(loss=loss)


@adapts("proposal_head", "RPNHead")
def rpn_head(node: Node, known: HeadContext, proposals: Node | None) -> RPNHeadConfig:
    """``proposals`` is ``train_cfg.rpn_proposal``, None in an RPN by itself."""
    known.features.expect_channels(node)
    node.expect("num_classes", 1, "as an RPN knows one class")
    channels = node.take("feat_channels", 256)
    train, test = require_settings(node, known)
    expect_plain_training(train)
    select = proposal_select(test)
    box_loss = box_loss_of(node)
    return RPNHeadConfig(
        channels=None if channels == known.features.channels[0] else channels,
        num_convs=node.take("num_convs", 1),
        priors=node.part("anchor_generator", "priors", known.features.strides),
        coder=node.part("bbox_coder", "coder"),
        classification_loss=node.part("loss_cls", "classification_loss"),
        box_loss=box_loss,
        assigner=train.part("assigner", "assigner"),
        sampler=train.part("sampler", "sampler"),
        border=border_of(train),
        select=select,
        **({} if proposals is None else {"train_select": proposal_select(proposals)}),
    )


def retina_head(node: Node, known: HeadContext) -> RetinaHeadConfig:
    known.features.expect_channels(node)
    known.expect_classes(node)
    train, test = require_settings(node, known)
    expect_plain_training(train)
    return RetinaHeadConfig(
        num_convs=node.take("stacked_convs", 4),
        channels=node.take("feat_channels", 256),
        priors=node.part("anchor_generator", "priors", known.features.strides),
        coder=node.part("bbox_coder", "coder"),
        classification_loss=node.part("loss_cls", "classification_loss"),
        box_loss=box_loss_of(node),
        assigner=train.part("assigner", "assigner"),
        sampler=train.optional_part("sampler", "sampler"),
        border=border_of(train),
        select=detection_select(test),
    )


@adapts("dense_head", "RetinaSepBNHead")
def retina_sep_norm_head(node: Node, known: HeadContext) -> RetinaSepNormHeadConfig:
    """V2's RetinaSepBNHead."""
    known.features.expect_channels(node)
    known.expect_classes(node)
    node.expect("num_ins", len(known.features.strides), "the number of maps")
    train, test = require_settings(node, known)
    expect_plain_training(train)
    norm = norm_of(node, default=None)
    if norm is None:
        raise node.error("norm_cfg", "missing; without norms this is a RetinaHead")
    return RetinaSepNormHeadConfig(
        num_convs=node.take("stacked_convs", 4),
        channels=node.take("feat_channels", 256),
        norm=norm,
        priors=node.part("anchor_generator", "priors", known.features.strides),
        coder=node.part("bbox_coder", "coder"),
        classification_loss=node.part("loss_cls", "classification_loss"),
        box_loss=box_loss_of(node),
        assigner=train.part("assigner", "assigner"),
        border=border_of(train),
        select=detection_select(test),
    )
