"""Backbones."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from detzoo.backbones.base import BackboneConfig
from detzoo.backbones.mobilenet_v2 import MobileNetV2Config
from detzoo.backbones.resnet import ResNetConfig
from detzoo.layers.norm import BatchNorm
from detzoo.mmdet.adapters.layers import norm_of, pretrained_of
from detzoo.mmdet.node import Node

B = TypeVar("B", bound=BackboneConfig)


def starting_from(backbone: B, pretrained: str | None) -> B:
    """``backbone`` with V2's weights; their name follows its architecture where it names that."""
    if pretrained is not None:
        pretrained = pretrained.replace(backbone.architecture, "{architecture}")
    return dataclasses.replace(backbone, pretrained=pretrained)


def resnet(node: Node) -> ResNetConfig:
    return _resnet(node, {})


def resnext(node: Node) -> ResNetConfig:
    groups = {"groups": node.take("groups", 1), "width_per_group": node.take("base_width", 4)}
    return _resnet(node, groups)


def _resnet(node: Node, groups: dict[str, Any]) -> ResNetConfig:
    num_stages = node.take("num_stages", 4)
    node.expect("in_channels", 3, "the channels of an image")
    node.expect("zero_init_residual", True, "how residual blocks start")
    backbone = ResNetConfig(
        depth=node.take("depth"),
        style=node.take("style", "pytorch"),
        strides=node.take("strides", (1, 2, 2, 2))[:num_stages],
        dilations=node.take("dilations", (1, 1, 1, 1))[:num_stages],
        out_stages=node.take("out_indices", (0, 1, 2, 3)),
        frozen_stages=node.take("frozen_stages", -1),
        norm=norm_of(
            node,
            fixed_statistics=node.take("norm_eval", True),
            default=BatchNorm(fixed_statistics=True),
        ),
        base_channels=node.take("base_channels", 64),
        checkpoint_activations=node.take("with_cp", False),
        **groups,
    )
    return starting_from(backbone, pretrained_of(node))


def mobilenet_v2(node: Node) -> MobileNetV2Config:
    node.expect("widen_factor", 1.0, "the width of the published weights")
    backbone = MobileNetV2Config(
        out_stages=tuple(index for index in node.take("out_indices", (1, 2, 4, 7))),
        frozen_stages=node.take("frozen_stages", -1),
        norm=norm_of(node, fixed_statistics=node.take("norm_eval", False), default=BatchNorm()),
        checkpoint_activations=node.take("with_cp", False),
    )
    return starting_from(backbone, pretrained_of(node))
