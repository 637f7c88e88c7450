"""Dynamic head."""

from __future__ import annotations

from detzoo.mmdet.known import Features
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts
from detzoo.necks.dyhead import DyHeadConfig


@adapts("neck", "DyHead")
def dyhead(node: Node, features: Features) -> DyHeadConfig:
    features.expect_channels(node)
    node.expect("init_cfg", None, "as V2 allows no other")
    return DyHeadConfig(
        out_channels=node.take("out_channels"),
        num_blocks=node.take("num_blocks", 6),
        starts_undeformed=node.take("zero_init_offset", True),
    )
