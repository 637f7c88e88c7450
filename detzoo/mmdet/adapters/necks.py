"""Necks."""

from __future__ import annotations

from detzoo.mmdet.adapters.layers import convolution_of, norm_of
from detzoo.mmdet.known import Features
from detzoo.mmdet.node import Node
from detzoo.necks.fpn import FPNConfig


def fpn(node: Node, features: Features) -> FPNConfig:
    node.expect("in_channels", features.channels, "the channels of the backbone's maps")
    node.expect("end_level", -1, "as every FPN of the zoo uses the backbone's last map")
    extra = node.take("add_extra_convs", False)
    if extra is True:
        extra = "on_input"
    upsampling = node.optional_child("upsample_cfg")
    if upsampling is not None:
        upsampling.expect("mode", "nearest", "as levels are upsampled to the nearest cell")
    node.expect("act_cfg", None, "as convolutions of an FPN are linear")
    return FPNConfig(
        out_channels=node.take("out_channels"),
        num_outputs=node.take("num_outs"),
        start_level=node.take("start_level", 0),
        extra_levels=extra or "max_pool",
        relu_between_extras=node.take("relu_before_extra_convs", False),
        convolution=convolution_of(node),
        norm=norm_of(node, default=None),
        norm_on_lateral=not node.take("no_norm_on_lateral", False),
    )
