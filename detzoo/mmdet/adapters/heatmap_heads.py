"""CenterNet, CornerNet and CentripetalNet."""

from __future__ import annotations

from typing import Any

from detzoo.heads.heatmap.centernet import CenterNetHeadConfig
from detzoo.heads.heatmap.centripetal import CentripetalHeadConfig
from detzoo.heads.heatmap.corner import CornerHeadConfig
from detzoo.losses.heatmap import GaussianFocalLoss
from detzoo.mmdet.known import HeadContext
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts
from detzoo.postprocess.select import Select


@adapts("dense_head", "CenterNetHead")
def centernet_head(node: Node, known: HeadContext) -> CenterNetHeadConfig:
    known.features.expect_channels(node, "in_channel")
    known.expect_classes(node)
    test = _test_settings(node, known)
    count = test.take("topk", 100)
    test.expect("max_per_img", count, "as every peak is a detection")
    return CenterNetHeadConfig(
        channels=node.take("feat_channel"),
        heatmap_loss=_heatmap_loss(node, "loss_center_heatmap"),
        size_weight=_weight(node, "loss_wh", "L1Loss", 0.1),
        offset_weight=_weight(node, "loss_offset", "L1Loss", 1.0),
        num_peaks=count,
        window=test.take("local_maximum_kernel", 3),
    )


@adapts("dense_head", "CornerHead")
def corner_head(node: Node, known: HeadContext) -> CornerHeadConfig:
    node.expect("corner_emb_channels", 1, "as a tag is one number")
    pull, push = 0.25, 0.25
    loss = node.optional_child("loss_embedding")
    if loss is not None:
        loss.expect("type", "AssociativeEmbeddingLoss", "the loss of tags")
        pull, push = (float(loss.take(f"{name}_weight", 0.25)) for name in ("pull", "push"))
    return CornerHeadConfig(**_pairs(node, known), pull_weight=pull, push_weight=push)


@adapts("dense_head", "CentripetalHead")
def centripetal_head(node: Node, known: HeadContext) -> CentripetalHeadConfig:
    node.expect("corner_emb_channels", 0, "as ways to the center take the place of tags", default=1)
    return CentripetalHeadConfig(
        **_pairs(node, known),
        guide_weight=_weight(node, "loss_guiding_shift", "SmoothL1Loss", 0.05),
        tag_weight=_weight(node, "loss_centripetal_shift", "SmoothL1Loss", 1.0),
    )


def _pairs(node: Node, known: HeadContext) -> dict[str, Any]:
    """What both heads that pair corners have."""
    known.features.expect_channels(node)
    known.expect_classes(node)
    stacks = len(known.features.channels)
    node.expect("num_feat_levels", stacks, "the number of maps of the backbone", default=2)
    test = _test_settings(node, known)
    test.expect("score_thr", 0.05, "as V2's corner heads do not look at it")
    return {
        "heatmap_loss": _heatmap_loss(node, "loss_heatmap"),
        "offset_weight": _weight(node, "loss_offset", "SmoothL1Loss", 1.0),
        "num_peaks": test.take("corner_topk"),
        "window": test.take("local_maximum_kernel"),
        "max_distance": float(test.take("distance_threshold")),
        "select": Select(
            min_score=0.0,
            suppression=_nms(test),
            max_detections=test.take("max_per_img"),
        ),
    }


def _heatmap_loss(node: Node, key: str) -> GaussianFocalLoss:
    loss = node.optional_child(key)
    if loss is None:
        return GaussianFocalLoss()
    loss.expect("type", "GaussianFocalLoss", "the loss of heatmaps")
    return GaussianFocalLoss(
        weight=float(loss.take("loss_weight", 1.0)),
        alpha=float(loss.take("alpha", 2.0)),
        gamma=float(loss.take("gamma", 4.0)),
    )


def _weight(node: Node, key: str, kind: str, default: float) -> float:
    """The weight of a loss whose kind is fixed."""
    loss = node.optional_child(key)
    if loss is None:
        return default
    loss.expect("type", kind, f"the {key} of this head")
    if kind == "SmoothL1Loss":
        loss.expect("beta", 1.0, "where the loss becomes linear")
    return float(loss.take("loss_weight", 1.0))


def _test_settings(node: Node, known: HeadContext) -> Node:
    if known.test is None:
        raise node.error("type", "has no settings in model.test_cfg")
    return known.test


def _nms(test: Node) -> Any:
    """``nms``, which was called ``nms_cfg`` until 2.12."""
    older = test.optional_part("nms_cfg", "nms")
    if older is None:
        return test.part("nms", "nms")
    test.take("nms", None)
    return older
