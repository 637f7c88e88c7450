"""Cascade RPN."""

from __future__ import annotations

from detzoo.heads.dense.cascade_rpn import CascadeRPNHeadConfig
from detzoo.mmdet.adapters.training import border_of, expect_plain_training, proposal_select
from detzoo.mmdet.known import HeadContext, require_settings
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts


@adapts("proposal_head", "CascadeRPNHead")
def cascade_rpn_head(
    node: Node, known: HeadContext, proposals: Node | None
) -> CascadeRPNHeadConfig:
    """V2's CascadeRPNHead, whose ``train_cfg`` is a list with the settings of each stage.

    V2 trains the RoI head on the proposals of ``test_cfg.rpn``, whatever ``rpn_proposal`` says.
    """
    train, test = require_settings(node, known)
    if proposals is not None:
        reason = "V2's CascadeRPNHead trains on the proposals of test_cfg.rpn"
        proposals.reading.aside[proposals.path] = reason
        proposals.left.clear()
    node.expect("num_stages", 2, "as one stage refines anchors, and one proposes")
    stages = node.children("stages")
    if len(stages) != 2:
        raise node.error("stages", f"{len(stages)} stages, but num_stages is 2")
    first, last = stages
    channels = first.take("feat_channels", 256)
    known.features.expect_channels(first)
    last.expect("in_channels", channels, "the channels of the first stage")
    last.expect("feat_channels", channels, "the channels of the first stage", default=256)
    for stage, samples, kind in ((first, False, "dilation"), (last, True, "offset")):
        stage.expect("type", "StageCascadeRPNHead", "what a stage is")
        stage.expect("with_cls", samples, "as the last stage alone classifies", default=True)
        stage.expect("sampling", samples, "as the last stage alone samples", default=True)
        stage.expect("reg_decoded_bbox", True, "as boxes are compared, not codes", default=False)
        stage.expect("bridged_feature", not samples, "as features pass to the next", default=False)
        adaptation = stage.child("adapt_cfg")
        adaptation.expect("type", kind, "how this stage adapts")
        if stage is first:
            dilation = adaptation.take("dilation", 3)
    anchor_train, own_train = train.child("0"), train.child("1")
    expect_plain_training(anchor_train)
    expect_plain_training(own_train)
    border = border_of(own_train)
    anchor_train.expect("allowed_border", -1 if border is None else border, "as in the last stage")
    select = proposal_select(test)
    return CascadeRPNHeadConfig(
        priors=first.part("anchor_generator", "priors", known.features.strides),
        channels=None if channels == known.features.channels[0] else channels,
        dilation=dilation,
        anchor_assigner=anchor_train.part("assigner", "assigner"),
        anchor_coder=first.part("bbox_coder", "coder"),
        anchor_loss=first.part("loss_bbox", "box_loss"),
        assigner=own_train.part("assigner", "assigner"),
        sampler=own_train.part("sampler", "sampler"),
        coder=last.part("bbox_coder", "coder"),
        classification_loss=last.part("loss_cls", "classification_loss"),
        box_loss=last.part("loss_bbox", "box_loss"),
        border=border,
        select=select,
        train_select=select,
    )
