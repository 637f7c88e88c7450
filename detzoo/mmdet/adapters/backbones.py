"""Backbones."""

from __future__ import annotations

import dataclasses
import re
from typing import Any, TypeVar, get_args

from detzoo.backbones.base import BackboneConfig
from detzoo.backbones.mobilenet_v2 import TRUNCATED_STD, MobileNetV2Config
from detzoo.backbones.pretrained import name_of
from detzoo.backbones.resnet import CONTEXT_STAGES, ResNetConfig
from detzoo.layers.generalized_attention import GeneralizedAttentionConfig, Term
from detzoo.layers.norm import BatchNormConfig
from detzoo.mmdet.adapters.layers import (
    activation_of,
    convolution_of,
    norm_of,
    pretrained_of,
)
from detzoo.mmdet.node import Node
from detzoo.mmdet.registry import adapts

B = TypeVar("B", bound=BackboneConfig)


def starting_from(backbone: B, pretrained: str | None) -> B:
    """``backbone`` with V2's weights; their name follows its architecture where it names that."""
    if pretrained is not None:
        # Some configurations give the address of a file instead of its name.
        pretrained = name_of(pretrained) or pretrained
        pretrained = pretrained.replace(backbone.architecture, "{architecture}")
    return dataclasses.replace(backbone, pretrained=pretrained)


@adapts("backbone", "ResNet")
def resnet(node: Node) -> ResNetConfig:
    return starting_from(ResNetConfig(**resnet_settings(node)), pretrained_of(node))


@adapts("backbone", "ResNeXt")
def resnext(node: Node) -> ResNetConfig:
    groups, width = node.take("groups", 1), node.take("base_width", 4)
    # Without groups, V2 makes it a ResNet, whatever the width.
    wide = {"groups": groups, "width_per_group": width} if groups > 1 else {}
    return starting_from(ResNetConfig(**resnet_settings(node), **wide), pretrained_of(node))


@adapts("backbone", "ResNetV1d")
def resnet_v1d(node: Node) -> ResNetConfig:
    """V2 sets both, whatever the file says."""
    for key in ("deep_stem", "avg_down"):
        node.expect(key, True, "as in every ResNet-D")
    node.left |= {"deep_stem": True, "avg_down": True}
    return resnet(node)


def resnet_settings(node: Node) -> dict[str, Any]:
    """What all ResNets have, but for the weights that they start from."""
    num_stages = node.take("num_stages", 4)
    if not 1 <= num_stages <= 4:
        raise node.error("num_stages", f"{num_stages} is not 1 to 4")
    node.expect("in_channels", 3, "the channels of an image")
    base_channels = node.take("base_channels", 64)
    if node.take("stem_channels", None) not in (None, base_channels):
        raise node.error("stem_channels", f"are not {base_channels}, those of the first stage")
    return dict(
        depth=node.take("depth"),
        style=node.take("style", "pytorch"),
        strides=node.take("strides", (1, 2, 2, 2))[:num_stages],
        dilations=node.take("dilations", (1, 1, 1, 1))[:num_stages],
        out_stages=node.take("out_indices", (0, 1, 2, 3)),
        frozen_stages=node.take("frozen_stages", -1),
        norm=norm_of(
            node,
            fixed_statistics=node.take("norm_eval", True),
            default=BatchNormConfig(fixed_statistics=True),
        ),
        convolution=convolution_of(node),
        **deformable_of(node),
        **plugins_of(node),
        zero_init=node.take("zero_init_residual", True),
        deep_stem=node.take("deep_stem", False),
        average_shortcuts=node.take("avg_down", False),
        base_channels=base_channels,
        checkpoint_activations=node.take("with_cp", False),
    )


def deformable_of(node: Node) -> dict[str, Any]:
    """``dcn`` and ``stage_with_dcn``."""
    stages = node.take("stage_with_dcn", (False, False, False, False))
    kind = node.optional_part("dcn", "convolution")
    if kind is None:
        return {}
    return {"deformable": kind, "deformable_stages": tuple(i for i, on in enumerate(stages) if on)}


def plugins_of(node: Node) -> dict[str, Any]:
    """``plugins`` of the bottlenecks: a context block, attention, or both."""
    if not node.has("plugins"):
        node.take("plugins", None)
        return {}
    found: dict[str, Any] = {}
    for plugin in node.children("plugins"):
        block = plugin.child("cfg")
        stages = plugin.take("stages", (True,) * 4)
        found |= block.adapt("plugin", plugin, tuple(i for i, on in enumerate(stages) if on))
    return found


@adapts("plugin", "ContextBlock")
def context_block(node: Node, plugin: Node, stages: tuple[int, ...]) -> dict[str, Any]:
    if stages != CONTEXT_STAGES:
        raise plugin.error("stages", f"{stages} are not {CONTEXT_STAGES}, where context blocks are")
    plugin.expect("position", "after_conv3", "where context blocks are")
    node.expect("pooling_type", "att", "as context is gathered by attention")
    node.expect("fusion_types", ("channel_add",), "as context is added")
    return {"context_ratio": node.take("ratio")}


@adapts("plugin", "GeneralizedAttention")
def generalized_attention(node: Node, plugin: Node, stages: tuple[int, ...]) -> dict[str, Any]:
    plugin.expect("position", "after_conv2", "where attention is")
    node.expect("spatial_range", -1, "as attention reaches everywhere")
    node.expect("q_stride", 1, "as every cell is a query")
    node.expect("position_embedding_dim", -1, "as there are as many channels as in the map")
    node.expect("position_magnitude", 1, "as positions are in cells")
    kinds = node.take("attention_type", "1111")
    if re.fullmatch("[01]{4}", kinds) is None or kinds == "0000":
        raise node.error("attention_type", f"{kinds!r} is not four digits of 0 and 1")
    attention = GeneralizedAttentionConfig(
        terms=tuple(term for term, digit in zip(get_args(Term), kinds) if digit == "1"),
        num_heads=node.take("num_heads", 9),
        key_stride=node.take("kv_stride", 2),
    )
    return {"attention": attention, "attention_stages": stages}


@adapts("backbone", "MobileNetV2")
def mobilenet_v2(node: Node) -> MobileNetV2Config:
    node.expect("widen_factor", 1.0, "the width of the published weights")
    init = node.left.get("init_cfg")
    from_scratch = isinstance(init, dict) and init.get("type") == "TruncNormal"
    if from_scratch:
        start = node.child("init_cfg")
        start.expect("type", "TruncNormal", "how SSDLite's backbone starts")
        start.expect("layer", "Conv2d", "which of its layers start so")
        start.expect("std", TRUNCATED_STD, "how SSDLite's backbone starts")
    backbone = MobileNetV2Config(
        initialization="truncated_normal" if from_scratch else "kaiming",
        activation=activation_of(node, default="relu6"),
        out_stages=tuple(index for index in node.take("out_indices", (1, 2, 4, 7))),
        frozen_stages=node.take("frozen_stages", -1),
        norm=norm_of(
            node, fixed_statistics=node.take("norm_eval", False), default=BatchNormConfig()
        ),
        checkpoint_activations=node.take("with_cp", False),
    )
    return starting_from(backbone, pretrained_of(node))
