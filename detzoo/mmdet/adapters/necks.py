"""Necks."""

from __future__ import annotations

from detzoo.mmdet.known import Features
from detzoo.mmdet.node import Node
from detzoo.necks.fpn import FPNConfig


def fpn(node: Node, features: Features) -> FPNConfig:
    node.expect("in_channels", features.channels, "the channels of the backbone's maps")
    node.expect("end_level", -1, "as every FPN of the zoo uses the backbone's last map")
    extra = node.take("add_extra_convs", False)
    if extra is True:
        extra = "on_input"
    return FPNConfig(
        out_channels=node.take("out_channels"),
        num_outputs=node.take("num_outs"),
        start_level=node.take("start_level", 0),
        extra_levels=extra or "max_pool",
    )
