"""Widths and depths that no setting reaches, made small all the same.

They are constants of the modules that build with them. Only building looks at them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import torch

from detzoo.backbones import (
    darknet,
    efficientnet,
    hourglass,
    hrnet,
    res2net,
    resnest,
    resnet,
    ssd_vgg,
)
from detzoo.backbones.base import Backbone, BackboneConfig
from detzoo.config import config
from detzoo.detectors.base import Detector
from detzoo.experiment import Experiment
from detzoo.heads.heatmap import corner_base
from detzoo.heads.roi import deformable_extractor

# Networks of bottlenecks have one per stage.
ONE_BLOCK = {"BLOCKS": {18: (2, 2, 2, 2), 50: (1, 1, 1, 1)}}
# In every detector: the module, and what its constants become.
ALWAYS: tuple[tuple[ModuleType, Mapping[str, Any]], ...] = (
    (resnet, ONE_BLOCK),
    (corner_base, {"POOL_CHANNELS": 32, "BRANCH_CHANNELS": 64}),
    (deformable_extractor, {"HIDDEN_CHANNELS": 128}),
)
# Of backbones: by class.
CONSTANTS: dict[type[BackboneConfig], tuple[ModuleType, Mapping[str, Any]]] = {
    darknet.DarknetConfig: (
        darknet,
        {"STEM_CHANNELS": 8, "STAGES": ((16, 1), (32, 1), (64, 2), (128, 2), (256, 1))},
    ),
    efficientnet.EfficientNetConfig: (
        efficientnet,
        {"SCALES": dict.fromkeys(efficientnet.SCALES, (0.25, 0.5))},
    ),
    hourglass.HourglassConfig: (
        hourglass,
        {"CHANNELS": (32, 32, 48, 48, 48, 64), "BLOCKS": (1, 1, 1, 1, 1, 1)},
    ),
    hrnet.HRNetConfig: (hrnet, {"STEM_CHANNELS": 16, "BLOCKS": 2, "MODULES": (1, 1, 1)}),
    res2net.Res2NetConfig: (res2net, {"BASE_CHANNELS": 16, "BASE_WIDTH": 8, **ONE_BLOCK}),
    resnest.ResNeStConfig: (resnest, {"BASE_CHANNELS": 16, **ONE_BLOCK}),
    ssd_vgg.SSDVGGConfig: (
        ssd_vgg,
        {
            "BLOCKS": ((16, 16), (32, 32), (64, 64, 64), (128, 128, 128), (128, 128, 128)),
            "DENSE_CHANNELS": 256,
        },
    ),
}
# What these two return is a literal of theirs.
OUT_CHANNELS = {darknet.DarknetConfig: (64, 128, 256), ssd_vgg.SSDVGGConfig: (128, 256)}


@config
class NarrowBackboneConfig(BackboneConfig):
    """``inner``, built with the constants of ``CONSTANTS``."""

    inner: BackboneConfig

    @property
    def architecture(self) -> str:
        return self.inner.architecture

    def build(self) -> Backbone:
        module, values = CONSTANTS[type(self.inner)]
        with constants(module, values):
            backbone = self.inner.build()
        backbone.out_channels = OUT_CHANNELS.get(type(self.inner), backbone.out_channels)
        return backbone

    def from_scratch(self) -> NarrowBackboneConfig:
        return NarrowBackboneConfig(inner=self.inner.from_scratch())


def build_narrow(experiment: Experiment, seed: int = 0) -> Detector:
    """The experiment's detector with the constants of ``ALWAYS``, initialized from ``seed``."""
    torch.manual_seed(seed)
    with contextlib.ExitStack() as stack:
        for module, values in ALWAYS:
            stack.enter_context(constants(module, values))
        return experiment.build_model()


@contextlib.contextmanager
def constants(module: ModuleType, values: Mapping[str, Any]) -> Iterator[None]:
    """Inside, the module's constants of these names have these values."""
    before = {name: getattr(module, name) for name in values}
    vars(module).update(values)
    try:
        yield
    finally:
        vars(module).update(before)
