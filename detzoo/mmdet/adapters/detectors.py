"""Detectors."""

from __future__ import annotations

from typing import Any

from detzoo.backbones.pretrained import pixels_of
from detzoo.detectors.proposal_only import ProposalOnlyConfig
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.detectors.two_stage import TwoStageConfig
from detzoo.mmdet.known import Features, HeadContext, features_of_backbone, features_of_neck
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts
from detzoo.necks.base import NeckConfig
from detzoo.necks.sequence import NeckSequenceConfig
from detzoo.structures import Pixels


@adapts(
    "detector",
    "ATSS",
    "AutoAssign",
    "CenterNet",
    "CornerNet",
    "FCOS",
    "FOVEA",
    "FSAF",
    "GFL",
    "PAA",
    "RepPointsDetector",
    "RetinaNet",
    "SingleStageDetector",
    "YOLOF",
    "YOLOV3",
    "YOLOX",
)
def single_stage(node: Node, num_classes: int, pixels: Pixels) -> SingleStageConfig:
    """RetinaNet and all that V2 builds like it."""
    trunk, features = trunk_of(node, pixels)
    train, test = node.optional_child("train_cfg"), node.optional_child("test_cfg")
    context = HeadContext(features, num_classes, train, test)
    return SingleStageConfig(**trunk, bbox_head=node.part("bbox_head", "dense_head", context))


@adapts("detector", "RPN")
def proposal_only(node: Node, num_classes: int, pixels: Pixels) -> ProposalOnlyConfig:
    """An RPN by itself."""
    trunk, features = trunk_of(node, pixels)
    train, test = settings_of(node, "train_cfg", "rpn"), settings_of(node, "test_cfg", "rpn")
    context = HeadContext(features, num_classes, train, test)
    return ProposalOnlyConfig(
        **trunk, rpn_head=node.part("rpn_head", "proposal_head", context, None)
    )


@adapts(
    "detector",
    *("FasterRCNN", "GridRCNN", "MaskRCNN", "MaskScoringRCNN", "PointRend", "TwoStageDetector"),
)
def two_stage(node: Node, num_classes: int, pixels: Pixels) -> TwoStageConfig:
    """Faster R-CNN and all that V2 builds like it."""
    trunk, features = trunk_of(node, pixels)
    train, test = node.optional_child("train_cfg"), node.optional_child("test_cfg")
    rpn = HeadContext(features, num_classes, _part(train, "rpn"), _part(test, "rpn"))
    rcnn = HeadContext(features, num_classes, _part(train, "rcnn"), _part(test, "rcnn"))
    return TwoStageConfig(
        **trunk,
        rpn_head=node.part("rpn_head", "proposal_head", rpn, _part(train, "rpn_proposal")),
        roi_head=node.part("roi_head", "roi_head", rcnn),
    )


def trunk_of(node: Node, pixels: Pixels) -> tuple[dict[str, Any], Features]:
    """Backbone, neck and pixels of a detector, and the maps that its heads see.

    ``pixels`` are those of the pipelines; they are written down only where they differ from what
    the backbone's weights expect.
    """
    images = node.child("backbone")
    images.expect("in_channels", len(pixels.mean), "the channels of the images", default=3)
    backbone = images.adapt("backbone")
    features = features_of_backbone(backbone)
    neck, features = _neck(node, features)
    own = None if pixels == pixels_of(backbone) else pixels
    return {"backbone": backbone, "neck": neck, "pixels": own}, features


def _neck(node: Node, features: Features) -> tuple[NeckConfig | None, Features]:
    """``neck``, one or several, and what comes out."""
    if not node.has("neck"):
        node.take("neck", None)
        return None, features
    necks = []
    for part in node.children("neck"):
        neck = part.adapt("neck", features)
        features = features_of_neck(neck, features)
        necks.append(neck)
    return (necks[0] if len(necks) == 1 else NeckSequenceConfig(necks=tuple(necks))), features


def settings_of(node: Node, settings: str, part: str) -> Node | None:
    """``train_cfg.rpn`` and its like, None where it is absent."""
    return _part(node.optional_child(settings), part)


def _part(settings: Node | None, part: str) -> Node | None:
    if settings is None:
        return None
    # Of a cascade RPN, those of each stage; they are children by number.
    if isinstance(settings.original.get(part), (list, tuple)):
        return settings.numbered(part)
    return settings.optional_child(part)
