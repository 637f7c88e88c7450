"""SOLOv2."""

from __future__ import annotations

from detzoo.heads.mask_grid.solov2 import NUM_MASK_LEVELS, SOLOv2HeadConfig
from detzoo.layers.convolution import PlainConvConfig
from detzoo.mmdet.adapters.layers import convolution_of, norm_of
from detzoo.mmdet.adapters.mask_grid_heads import mask_grid_settings, solo
from detzoo.mmdet.known import HeadContext
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts

adapts("detector", "SOLOv2")(solo)


@adapts("mask_grid_head", "SOLOV2Head")
def solov2_head(node: Node, known: HeadContext) -> SOLOv2HeadConfig:
    node.expect("dynamic_conv_size", 1, "as kernels are 1x1")
    kind = convolution_of(node, "dcn_cfg")
    everywhere = node.take("dcn_apply_to_all_conv", True)
    if isinstance(kind, PlainConvConfig) and not everywhere:
        raise node.error("dcn_apply_to_all_conv", "is for nothing without dcn_cfg")
    features = node.child("mask_feature_head")
    known.features.expect_channels(features)
    features.expect("start_level", 0, "as masks are made of the finest levels")
    features.expect("end_level", NUM_MASK_LEVELS - 1, "as masks are made of the finest levels")
    features.expect("mask_stride", known.features.strides[0], "the stride of the finest level")
    norm = norm_of(features, default=None)
    if norm is None:
        raise features.error("norm_cfg", "is None; this head is not in the zoo without norms")
    return SOLOv2HeadConfig(
        **mask_grid_settings(node, known, activates=True),
        convolution=kind if everywhere else PlainConvConfig(),
        last_convolution=kind,
        mask_channels=features.take("feat_channels"),
        kernel_channels=features.take("out_channels"),
        mask_convolution=convolution_of(features),
        mask_norm=norm,
    )
