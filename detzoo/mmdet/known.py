"""What the parts before it tell a part: passed down while a configuration is read."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch

from detzoo.backbones.base import BackboneConfig
from detzoo.checkpoints.catalog import config_classes
from detzoo.config import check
from detzoo.mmdet.node import Node
from detzoo.necks.base import NeckConfig


@dataclass(frozen=True)
class Features:
    """Feature maps, fine to coarse: V2 repeats their channels and strides in many places."""

    channels: tuple[int, ...]
    strides: tuple[int, ...]

    def expect_channels(self, node: Node, key: str = "in_channels") -> None:
        """Takes the number of channels that each map that ``node`` reads has."""
        node.expect(key, self.channels[0], "the channels of the feature maps")


@dataclass(frozen=True)
class HeadContext:
    """What a head is told. ``train`` and ``test`` are its part of ``train_cfg`` and ``test_cfg``.

    ``train`` is None in a configuration that was stripped for inference.
    """

    features: Features
    num_classes: int
    train: Node | None
    test: Node | None

    def expect_classes(self, node: Node, key: str = "num_classes") -> None:
        """Takes the number of classes, which is that of the class names of the data."""
        node.expect(key, self.num_classes, "the number of class names of data.train")


def require_settings(node: Node, known: HeadContext) -> tuple[Node, Node]:
    """``train_cfg`` and ``test_cfg`` of a head that needs both."""
    for name, settings in (("train_cfg", known.train), ("test_cfg", known.test)):
        if settings is None:
            raise node.error(
                "type", f"has no settings in model.{name}; give both train_cfg and test_cfg"
            )
    assert known.train is not None
    assert known.test is not None
    return known.train, known.test


@functools.lru_cache(maxsize=64)
def features_of_backbone(backbone: BackboneConfig) -> Features:
    """The maps that ``backbone`` returns. Raises :class:`ConfigError` where it cannot be."""
    check(backbone, config_classes())
    with torch.device("meta"):
        return _outputs(backbone.build())


@functools.lru_cache(maxsize=64)
def features_of_neck(neck: NeckConfig, features: Features) -> Features:
    """The maps that ``neck`` makes of ``features``. Raises :class:`ConfigError` as above."""
    check(neck, config_classes())
    with torch.device("meta"):
        return _outputs(neck.build(features.channels, features.strides))


def _outputs(module: Any) -> Features:
    return Features(module.out_channels, module.out_strides)
