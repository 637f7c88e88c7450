"""NAS-FCOS; its head is among those on points."""

from __future__ import annotations

from detzoo.layers.norm import BatchNormConfig
from detzoo.mmdet.adapters.detectors import single_stage
from detzoo.mmdet.adapters.layers import convolution_of, norm_of
from detzoo.mmdet.known import Features
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts
from detzoo.necks.nas_fcos import NASFCOSPyramidConfig

adapts("detector", "NASFCOS")(single_stage)


@adapts("neck", "NASFCOS_FPN")
def nas_fcos_pyramid(node: Node, features: Features) -> NASFCOSPyramidConfig:
    node.expect("in_channels", features.channels, "the channels of the backbone's maps")
    node.expect("end_level", -1, "as the backbone's last map is used")
    # V2 does not look at it: there are as many more levels as num_outs says.
    node.expect("add_extra_convs", True, "as further levels are convolved", default=False)
    if not node.has("norm_cfg"):
        raise node.error("norm_cfg", "missing; this neck is not in the zoo without norms")
    return NASFCOSPyramidConfig(
        out_channels=node.take("out_channels"),
        num_outputs=node.take("num_outs"),
        start_level=node.take("start_level", 1),
        convolution=convolution_of(node),
        norm=norm_of(node, default=BatchNormConfig()),
    )
