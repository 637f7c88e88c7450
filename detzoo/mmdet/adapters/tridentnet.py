"""TridentNet."""

from __future__ import annotations

import dataclasses

from detzoo.backbones.trident_resnet import TridentResNetConfig
from detzoo.detectors.trident import TridentConfig
from detzoo.heads.roi.standard import StandardRoIHeadConfig
from detzoo.mmdet.adapters.backbones import resnet_settings, starting_from
from detzoo.mmdet.adapters.detectors import two_stage
from detzoo.mmdet.adapters.layers import pretrained_of
from detzoo.mmdet.adapters.roi_heads import standard_roi_head
from detzoo.mmdet.known import HeadContext
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts
from detzoo.structures import Pixels


@adapts("detector", "TridentFasterRCNN")
def trident(node: Node, num_classes: int, pixels: Pixels) -> TridentConfig:
    """The head says the branches once more."""
    model = two_stage(node, num_classes, pixels)
    backbone = model.backbone
    if not isinstance(backbone, TridentResNetConfig):
        raise node.error("backbone", "has no branches, as a TridentResNet has")
    heads = next(n for n in node.reading.nodes if n.path == node.at("roi_head"))
    if heads.type != "TridentRoIHead":
        raise heads.error("type", f"{heads.type!r} is not 'TridentRoIHead', which sees branches")
    heads.expect("num_branch", len(backbone.branch_dilations), "the backbone's")
    tested = -1 if backbone.test_branch is None else backbone.test_branch
    heads.expect("test_branch_idx", tested, "the backbone's")
    return TridentConfig(**{f.name: getattr(model, f.name) for f in dataclasses.fields(model)})


@adapts("backbone", "TridentResNet")
def trident_resnet(node: Node) -> TridentResNetConfig:
    dilations = node.take("trident_dilations")
    node.expect("num_branch", len(dilations), "the number of dilations")
    tested = node.take("test_branch_idx")
    backbone = TridentResNetConfig(
        **resnet_settings(node),
        branch_dilations=dilations,
        test_branch=None if tested == -1 else tested,
    )
    return starting_from(backbone, pretrained_of(node))


@adapts("roi_head", "TridentRoIHead")
def trident_roi_head(node: Node, known: HeadContext) -> StandardRoIHeadConfig:
    return standard_roi_head(node, known)
