"""The backbones of SSD, YOLOv3, YOLOX and CornerNet."""

from __future__ import annotations

from detzoo.backbones.csp_darknet import POOL_SIZES, CSPDarknetConfig
from detzoo.backbones.darknet import DarknetConfig
from detzoo.backbones.hourglass import BLOCKS, CHANNELS, NUM_STACKS, HourglassConfig
from detzoo.backbones.ssd_vgg import SSDVGGConfig
from detzoo.layers.csp import YOLOX_NORM
from detzoo.layers.norm import BatchNormConfig, NormConfig
from detzoo.mmdet.adapters.backbones import starting_from
from detzoo.mmdet.adapters.layers import activation_of, norm_of, pretrained_of
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts


@adapts("backbone", "SSDVGG")
def ssd_vgg(node: Node) -> SSDVGGConfig:
    node.expect("depth", 16, "as SSD is built on VGG-16")
    node.expect("with_last_pool", False, "as dense layers follow instead", default=False)
    node.expect("ceil_mode", True, "as poolings round up", default=True)
    node.expect("out_indices", (3, 4), "the stages that SSD looks at", default=(3, 4))
    node.expect("out_feature_indices", (22, 34), "the layers that SSD looks at", default=(22, 34))
    return starting_from(SSDVGGConfig(), pretrained_of(node))


@adapts("backbone", "Darknet")
def darknet(node: Node) -> DarknetConfig:
    node.expect("depth", 53, "as YOLOv3 is built on Darknet-53")
    node.expect("out_indices", (3, 4, 5), "the stages that YOLOv3 looks at", default=(3, 4, 5))
    norm = _norm(node, BatchNormConfig(fixed_statistics=True), node.take("norm_eval", True))
    _expect_activation(node, "leaky_relu")
    return starting_from(DarknetConfig(norm=norm), pretrained_of(node))


@adapts("backbone", "CSPDarknet")
def csp_darknet(node: Node) -> CSPDarknetConfig:
    node.expect("arch", "P5", "as YOLOX has three levels", default="P5")
    node.expect("out_indices", (2, 3, 4), "the stages that YOLOX looks at", default=(2, 3, 4))
    node.expect("spp_kernal_sizes", POOL_SIZES, "the windows that are pooled (V2 spells it so)")
    _expect_activation(node, "silu")
    return CSPDarknetConfig(
        depth_factor=float(node.take("deepen_factor", 1.0)),
        width_factor=float(node.take("widen_factor", 1.0)),
        depthwise=node.take("use_depthwise", False),
        norm=_norm(node, YOLOX_NORM, node.take("norm_eval", False)),
    )


@adapts("backbone", "HourglassNet")
def hourglass(node: Node) -> HourglassConfig:
    node.expect("downsample_times", len(CHANNELS) - 1, "how often Hourglass-104 halves a map")
    node.expect("num_stacks", NUM_STACKS, "the stacks of Hourglass-104")
    node.expect("stage_channels", CHANNELS, "the channels of Hourglass-104")
    node.expect("stage_blocks", BLOCKS, "the blocks of Hourglass-104")
    node.expect("feat_channel", CHANNELS[0], "the channels that come out")
    return HourglassConfig(norm=_norm(node, BatchNormConfig(), False))


def _norm(node: Node, default: NormConfig, fixed_statistics: bool) -> NormConfig:
    norm = norm_of(node, fixed_statistics=fixed_statistics, default=default)
    if norm is None:
        raise node.error("norm_cfg", "these convolutions have a norm")
    return norm


def _expect_activation(node: Node, activation: str) -> None:
    if activation_of(node, default="none") not in ("none", activation):
        raise node.error("act_cfg", f"is not {activation}, which this backbone has")
