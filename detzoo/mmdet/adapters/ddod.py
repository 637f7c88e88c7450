"""DDOD."""

from __future__ import annotations

from detzoo.assigners.predicted_atss import PredictedATSSAssigner
from detzoo.heads.dense.ddod import DDODHeadConfig
from detzoo.mmdet.adapters.detectors import single_stage
from detzoo.mmdet.adapters.one_stage_heads import tower_norm_of, towers_of
from detzoo.mmdet.adapters.training import border_of, detection_select, expect_plain_training
from detzoo.mmdet.known import HeadContext, require_settings
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts

adapts("detector", "DDOD")(single_stage)


@adapts("dense_head", "DDODHead")
def ddod_head(node: Node, known: HeadContext) -> DDODHeadConfig:
    known.features.expect_channels(node)
    known.expect_classes(node)
    node.expect("conv_cfg", None, "as in all of the zoo")
    node.expect("reg_decoded_bbox", True, "as boxes are compared, not codes")
    train, test = require_settings(node, known)
    expect_plain_training(train)
    rating = node.child("loss_iou")
    rating.expect("type", "CrossEntropyLoss", "the loss of the predicted IoUs")
    rating.expect("use_sigmoid", True, "as an IoU is a probability here", default=False)
    return DDODHeadConfig(
        **towers_of(node),
        norm=tower_norm_of(node),
        deformable=node.take("use_dcn", True),
        priors=node.part("anchor_generator", "priors", known.features.strides),
        coder=node.part("bbox_coder", "coder"),
        class_assigner=_assigner(train.child("assigner")),
        box_assigner=_assigner(train.child("reg_assigner")),
        border=border_of(train),
        classification_loss=node.part("loss_cls", "classification_loss"),
        box_loss=node.part("loss_bbox", "box_loss"),
        iou_loss_weight=float(rating.take("loss_weight", 1.0)),
        select=detection_select(test),
    )


def _assigner(node: Node) -> PredictedATSSAssigner:
    node.expect("type", "ATSSAssigner", "how targets are assigned")
    node.expect("ignore_iof_thr", -1, "as in all of the zoo")
    return PredictedATSSAssigner(
        candidates_per_level=node.take("topk"), iou_weight=float(node.take("alpha"))
    )
