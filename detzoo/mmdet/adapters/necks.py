"""Necks."""

from __future__ import annotations

from detzoo.layers.convolution import DeformConvConfig, PlainConvConfig
from detzoo.layers.csp import YOLOX_NORM
from detzoo.layers.norm import BatchNormConfig
from detzoo.mmdet.adapters.grid_heads import separable_norm_of
from detzoo.mmdet.adapters.layers import (
    activation_of,
    convolution_of,
    expect_carafe,
    norm_of,
)
from detzoo.mmdet.known import Features
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts
from detzoo.necks.bfp import BFPConfig
from detzoo.necks.channel_mapper import ChannelMapperConfig
from detzoo.necks.ct_resnet import CTResNetNeckConfig
from detzoo.necks.dilated_encoder import DilatedEncoderConfig
from detzoo.necks.fpn import FPNConfig, Upsampling
from detzoo.necks.fpn_carafe import FPNCARAFEConfig
from detzoo.necks.nas_fpn import NUM_LEVELS, NASFPNConfig
from detzoo.necks.rfp import RFPConfig
from detzoo.necks.ssd import SSDNeckConfig
from detzoo.necks.yolov3 import YOLOv3NeckConfig
from detzoo.necks.yolox_pafpn import YOLOXPAFPNConfig


@adapts("neck", "FPN")
def fpn(node: Node, features: Features) -> FPNConfig:
    node.expect("in_channels", features.channels, "the channels of the backbone's maps")
    node.expect("end_level", -1, "as every FPN of the zoo uses the backbone's last map")
    extra = node.take("add_extra_convs", False)
    if extra is True:
        # Until 2.8, a setting of its own said of what.
        extra = "on_input" if node.take("extra_convs_on_inputs", True) else "on_output"
    node.take("extra_convs_on_inputs", None)
    upsampling = node.optional_child("upsample_cfg")
    mode: Upsampling = "nearest" if upsampling is None else upsampling.take("mode", "nearest")
    node.expect("act_cfg", None, "as convolutions of an FPN are linear")
    init = node.optional_child("init_cfg")
    if init is not None:
        init.expect("type", "Caffe2Xavier", "the other way than V2's usual one")
        init.expect("layer", "Conv2d", "what an FPN is made of")
    return FPNConfig(
        out_channels=node.take("out_channels"),
        num_outputs=node.take("num_outs"),
        start_level=node.take("start_level", 0),
        extra_levels=extra or "max_pool",
        relu_between_extras=node.take("relu_before_extra_convs", False),
        upsampling=mode,
        convolution=convolution_of(node),
        norm=norm_of(node, default=None),
        norm_on_lateral=not node.take("no_norm_on_lateral", False),
        initialization="xavier" if init is None else "caffe2_xavier",
    )


@adapts("neck", "BFP")
def bfp(node: Node, features: Features) -> BFPConfig:
    features.expect_channels(node)
    node.expect("num_levels", len(features.channels), "the number of maps")
    node.expect("refine_type", "non_local", "as in all of the zoo")
    return BFPConfig(refine_level=node.take("refine_level", 2))


@adapts("neck", "DilatedEncoder")
def dilated_encoder(node: Node, features: Features) -> DilatedEncoderConfig:
    node.expect("in_channels", features.channels[-1], "the channels of the backbone's last map")
    dilations = node.take("block_dilations", (2, 4, 6, 8))  # in its code, in old releases
    node.expect("num_residual_blocks", len(dilations), "the number of block_dilations")
    return DilatedEncoderConfig(
        out_channels=node.take("out_channels"),
        middle_channels=node.take("block_mid_channels"),
        dilations=dilations,
    )


@adapts("neck", "NASFPN")
def nas_fpn(node: Node, features: Features) -> NASFPNConfig:
    node.expect("in_channels", features.channels, "the channels of the backbone's maps")
    node.expect("end_level", -1, "as in all of the zoo")
    node.expect("num_outs", NUM_LEVELS, "what the architecture was searched for")
    extra = node.take("add_extra_convs", False)
    if extra not in (False, "on_input"):
        raise node.error("add_extra_convs", f"{extra!r}, but V2's NASFPN pools its extra levels")
    return NASFPNConfig(
        out_channels=node.take("out_channels"),
        start_level=node.take("start_level", 0),
        num_stages=node.take("stack_times"),
        norm=norm_of(node, default=None),
    )


@adapts("neck", "SSDNeck")
def ssd_neck(node: Node, features: Features) -> SSDNeckConfig:
    node.expect("in_channels", features.channels, "the channels of the backbone's maps")
    channels, given = node.take("out_channels"), len(features.channels)
    if channels[:given] != features.channels:
        raise node.error("out_channels", f"do not begin with the backbone's, {features.channels}")
    norm = separable_norm_of(node)
    init = node.optional_child("init_cfg")
    if init is not None:
        init.expect("type", "TruncNormal" if norm else "Xavier", "how these layers start")
        init.expect("layer", "Conv2d", "which of these layers start so")
        init.expect("std", 0.03, "how these layers start")
    scale = node.take("l2_norm_scale", 20.0)
    return SSDNeckConfig(
        channels=channels[given:],
        strides=node.take("level_strides"),
        paddings=node.take("level_paddings"),
        last_kernel_size=node.take("last_kernel_size", 3),
        l2_norm_scale=None if scale is None else float(scale),
        separable_norm=norm,
    )


@adapts("neck", "YOLOV3Neck")
def yolov3_neck(node: Node, features: Features) -> YOLOv3NeckConfig:
    node.expect("num_scales", len(features.channels), "the number of the backbone's maps")
    node.expect("in_channels", features.channels[::-1], "the channels of the backbone's maps")
    norm = norm_of(node, default=BatchNormConfig())
    if norm is None or activation_of(node, default="leaky_relu") != "leaky_relu":
        raise node.error("norm_cfg", "YOLOv3's convolutions have a norm and a leaky ReLU")
    return YOLOv3NeckConfig(out_channels=node.take("out_channels"), norm=norm)


@adapts("neck", "YOLOXPAFPN")
def yolox_pafpn(node: Node, features: Features) -> YOLOXPAFPNConfig:
    node.expect("in_channels", features.channels, "the channels of the backbone's maps")
    norm = norm_of(node, default=YOLOX_NORM)
    if norm is None or activation_of(node, default="silu") != "silu":
        raise node.error("norm_cfg", "YOLOX's convolutions have a norm and SiLU")
    upsampling = node.optional_child("upsample_cfg")
    if upsampling is not None:
        upsampling.expect("scale_factor", 2, "as levels are a factor of two apart")
        upsampling.expect("mode", "nearest", "how maps are enlarged")
    return YOLOXPAFPNConfig(
        out_channels=node.take("out_channels"),
        num_blocks=node.take("num_csp_blocks", 3),
        depthwise=node.take("use_depthwise", False),
        norm=norm,
    )


@adapts("neck", "CTResNetNeck")
def ct_resnet_neck(node: Node, features: Features) -> CTResNetNeckConfig:
    node.expect("in_channel", features.channels[-1], "the channels of the backbone's last map")
    channels = node.take("num_deconv_filters")
    node.expect("num_deconv_kernels", (4,) * len(channels), "as 4x4 kernels double a map")
    kind = DeformConvConfig(modulated=True) if node.take("use_dcn", True) else PlainConvConfig()
    return CTResNetNeckConfig(channels=channels, convolution=kind)


@adapts("neck", "FPN_CARAFE")
def fpn_carafe(node: Node, features: Features) -> FPNCARAFEConfig:
    node.expect("in_channels", features.channels, "the channels of the backbone's maps")
    node.expect("start_level", 0, "as every map is used")
    node.expect("end_level", -1, "as every map is used")
    node.expect("norm_cfg", None, "as it has no norms")
    node.expect("act_cfg", None, "as its convolutions are linear")
    node.expect("order", ("conv", "norm", "act"), "as it has neither norms nor activations")
    upsampling = node.child("upsample_cfg")
    upsampling.expect("type", "carafe", "how levels are upsampled")
    expect_carafe(upsampling)
    return FPNCARAFEConfig(
        out_channels=node.take("out_channels"), num_outputs=node.take("num_outs")
    )


@adapts("neck", "RFP")
def rfp(node: Node, features: Features) -> RFPConfig:
    """V2's RFP; the first of the maps is the image itself."""
    node.expect("rfp_steps", 2, "as the backbone looks twice")
    node.expect("aspp_dilations", (1, 3, 6, 1), "the dilations of the feedback")
    again = node.child("rfp_backbone")
    pyramid = Features(features.channels[1:], features.strides[1:])
    channels = node.left.get("out_channels")
    again.expect("rfp_inplanes", channels, "the channels of the pyramid")
    backbone = again.adapt("backbone")
    feedback = node.take("aspp_out_channels")
    return RFPConfig(backbone=backbone, fpn=fpn(node, pyramid), feedback_channels=feedback)


@adapts("neck", "ChannelMapper")
def channel_mapper(node: Node, features: Features) -> ChannelMapperConfig:
    node.expect("in_channels", features.channels, "the channels of the backbone's maps")
    node.expect("kernel_size", 1, "as maps are only brought to one width", default=3)
    if activation_of(node, default="relu") != "none":
        raise node.error("act_cfg", "convolutions of this neck are linear")
    norm = norm_of(node, default=None)
    if norm is None:
        raise node.error("norm_cfg", "convolutions of this neck have norms")
    return ChannelMapperConfig(
        out_channels=node.take("out_channels"),
        num_outputs=node.take("num_outs", len(features.channels)),
        norm=norm,
    )
