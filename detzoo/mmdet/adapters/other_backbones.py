"""RegNetX, Res2Net, ResNeSt, HRNet, PVT, and DetectoRS' ResNet."""

from __future__ import annotations

import dataclasses
from typing import Any

from detzoo.backbones.hrnet import HRNetConfig
from detzoo.backbones.pvt import PVTConfig
from detzoo.backbones.regnet import VARIANTS, RegNetConfig
from detzoo.backbones.res2net import BASE_WIDTH, SCALES, Res2NetConfig
from detzoo.backbones.resnest import ResNeStConfig
from detzoo.backbones.resnet import ResNetConfig
from detzoo.layers.convolution import DeformConvConfig
from detzoo.layers.norm import BatchNormConfig
from detzoo.layers.switchable import AdaptiveConvConfig, SwitchableAtrousConvConfig
from detzoo.mmdet.adapters.backbones import deformable_of, resnet, resnext, starting_from
from detzoo.mmdet.adapters.layers import norm_of, pretrained_of
from detzoo.mmdet.known import Features
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts
from detzoo.necks.hrfpn import HRFPNConfig

# What these backbones inherit from V2's ResNet and none of the zoo changes.
_AS_RESNET = (
    ("in_channels", 3),
    ("num_stages", 4),
    ("dilations", (1, 1, 1, 1)),
    ("conv_cfg", None),
    ("plugins", None),
    ("zero_init_residual", True),
)
_REGNETS = {f"regnetx_{variant}": variant for variant in VARIANTS}


def _staged(node: Node, *facts: tuple[str, Any]) -> dict[str, Any]:
    """The settings that all backbones of four residual stages share."""
    for key, value in (*_AS_RESNET, *facts):
        node.expect(key, value, "as in all of the zoo")
    return {
        "out_stages": node.take("out_indices", (0, 1, 2, 3)),
        "frozen_stages": node.take("frozen_stages", -1),
        "norm": norm_of(
            node,
            fixed_statistics=node.take("norm_eval", True),
            default=BatchNormConfig(fixed_statistics=True),
        ),
        "checkpoint_activations": node.take("with_cp", False),
    }


def _deformable(node: Node) -> DeformConvConfig | None:
    """``dcn`` of a backbone that has it in no stage, or in all from the second on."""
    dcn = deformable_of(node)
    if dcn.get("deformable_stages", (1, 2, 3)) != (1, 2, 3):
        raise node.error("stage_with_dcn", "is not every stage from the second on")
    return dcn.get("deformable")


@adapts("backbone", "RegNet")
def regnet(node: Node) -> RegNetConfig:
    arch = node.take("arch")
    variant = _REGNETS.get(str(arch))  # V2 also takes a dict of widths
    if variant is None:
        raise node.error("arch", "give the name of a published one, such as regnetx_3.2gf")
    stages = _staged(
        node,
        ("stem_channels", 32),
        ("base_channels", 32),
        ("strides", (2, 2, 2, 2)),
        ("style", "pytorch"),
        ("deep_stem", False),
        ("avg_down", False),
    )
    backbone = RegNetConfig(variant=variant, **stages, deformable=_deformable(node))
    return starting_from(backbone, pretrained_of(node))


@adapts("backbone", "Res2Net")
def res2net(node: Node) -> Res2NetConfig:
    stages = _staged(
        node,
        ("scales", SCALES),
        ("base_width", BASE_WIDTH),
        ("strides", (1, 2, 2, 2)),
        ("style", "pytorch"),
        ("deep_stem", True),
        ("avg_down", True),
    )
    backbone = Res2NetConfig(depth=node.take("depth"), **stages, deformable=_deformable(node))
    return starting_from(backbone, pretrained_of(node))


@adapts("backbone", "ResNeSt")
def resnest(node: Node) -> ResNeStConfig:
    stages = _staged(
        node,
        ("groups", 1),
        ("base_width", 4),
        ("radix", 2),
        ("reduction_factor", 4),
        ("avg_down_stride", True),
        ("strides", (1, 2, 2, 2)),
        ("style", "pytorch"),
        ("deep_stem", True),
        ("avg_down", True),
        ("dcn", None),
    )
    backbone = ResNeStConfig(
        depth=node.take("depth"), stem_channels=node.take("stem_channels", 64), **stages
    )
    return starting_from(backbone, pretrained_of(node))


@adapts("backbone", "HRNet")
def hrnet(node: Node) -> HRNetConfig:
    node.expect("in_channels", 3, "the channels of an image")
    node.expect("multiscale_output", True, "as every branch is returned")
    node.expect("zero_init_residual", False, "how residual blocks start")
    node.expect("with_cp", False, "as activations are kept")
    extra = node.child("extra")
    width = _first_channels(extra)
    for number, (modules, blocks) in enumerate(((1, 1), (1, 2), (4, 3), (3, 4)), 1):
        stage = extra.child(f"stage{number}")
        channels = (64,) if number == 1 else tuple(width * 2**branch for branch in range(blocks))
        for key, value in (
            ("num_modules", modules),
            ("num_branches", blocks),
            ("block", "BOTTLENECK" if number == 1 else "BASIC"),
            ("num_blocks", (4,) * blocks),
            ("num_channels", channels),
        ):
            stage.expect(key, value, "what an HRNetV2 of that width has")
    norm = norm_of(
        node,
        fixed_statistics=node.take("norm_eval", True),
        default=BatchNormConfig(fixed_statistics=True),
    )
    return starting_from(HRNetConfig(width=width, norm=norm), pretrained_of(node))


def _first_channels(extra: Node) -> int:
    """The width of the finest branch."""
    stage = extra.left.get("stage2")
    channels = stage.get("num_channels") if isinstance(stage, dict) else None
    if not channels or not isinstance(channels[0], int) or channels[0] < 1:
        raise extra.error("stage2", "has no num_channels, the widths of its branches")
    return channels[0]


@adapts("backbone", "PyramidVisionTransformer")
def pvt(node: Node) -> PVTConfig:
    for key, value in (
        ("paddings", (0, 0, 0, 0)),
        ("use_abs_pos_embed", True),
        ("norm_after_stage", False),
        ("use_conv_ffn", False),
    ):
        node.expect(key, value, "what PVT is")
    return _pvt(node, 1, patches=(4, 2, 2, 2))


@adapts("backbone", "PyramidVisionTransformerV2")
def pvt_v2(node: Node) -> PVTConfig:
    for key, value in (
        ("paddings", (3, 1, 1, 1)),
        ("use_abs_pos_embed", False),
        ("norm_after_stage", True),
        ("use_conv_ffn", True),
    ):
        node.expect(key, value, "what PVTv2 is")
    return _pvt(node, 2, patches=(7, 3, 3, 3))


def _pvt(node: Node, version: Any, patches: tuple[int, ...]) -> PVTConfig:
    for key, value in (
        ("pretrain_img_size", 224),
        ("in_channels", 3),
        ("num_stages", 4),
        ("num_heads", (1, 2, 5, 8)),
        ("patch_sizes", patches),
        ("strides", (4, 2, 2, 2)),
        ("sr_ratios", (8, 4, 2, 1)),
        ("out_indices", (0, 1, 2, 3)),
        ("qkv_bias", True),
        ("drop_rate", 0.0),
        ("attn_drop_rate", 0.0),
    ):
        node.expect(key, value, "as in all of the zoo")
    node.ignore("convert_weights")
    backbone = PVTConfig(
        version=version,
        channels_per_head=node.take("embed_dims", 64),
        blocks=node.take("num_layers", (3, 4, 6, 3)),
        hidden_ratios=node.take("mlp_ratios", (8, 8, 4, 4)),
        stochastic_depth=float(node.take("drop_path_rate", 0.1)),
    )
    return starting_from(backbone, pretrained_of(node))


@adapts("backbone", "DetectoRS_ResNet", "DetectoRS_ResNeXt")
def detectors_resnet(node: Node) -> ResNetConfig:
    """Adaptively standardized filters, and switchable convolutions where ``sac`` is."""
    node.expect("rfp_inplanes", None, "as only the backbone within the pyramid has feedback")
    returns_image = node.take("output_img", False)
    stages = node.take("stage_with_sac", (False, False, False, False))
    switchable: dict[str, Any] = {}
    sac = node.optional_child("sac")
    if sac is not None:
        sac.expect("type", "SAC", "the switchable convolution")
        sac.expect("use_deform", True, "as both fields of view are deformable", default=False)
        on = tuple(index for index, has in enumerate(stages) if has)
        switchable = {"deformable": SwitchableAtrousConvConfig(), "deformable_stages": on}
    plain = resnext(node) if node.type == "DetectoRS_ResNeXt" else resnet(node)
    backbone = dataclasses.replace(plain, returns_image=returns_image, **switchable)
    if backbone.convolution != AdaptiveConvConfig():
        raise node.error("conv_cfg", "is not ConvAWS, the convolution of DetectoRS")
    return backbone


@adapts("convolution", "ConvAWS")
def adaptively_standardized(node: Node) -> AdaptiveConvConfig:
    return AdaptiveConvConfig()


@adapts("neck", "HRFPN")
def hrfpn(node: Node, features: Features) -> HRFPNConfig:
    node.expect("in_channels", features.channels, "the channels of the backbone's maps")
    node.expect("pooling_type", "AVG", "how levels are made")
    node.expect("conv_cfg", None, "as its convolutions are plain")
    node.expect("norm_cfg", None, "as it has no norms")
    node.expect("with_cp", False, "as activations are kept")
    return HRFPNConfig(
        out_channels=node.take("out_channels"),
        num_outputs=node.take("num_outs", 5),
        stride=node.take("stride", 1),
    )
