"""A backbone stage applied to every region (C4 detectors)."""

from __future__ import annotations

import dataclasses

from torch import Tensor, nn

from detzoo.backbones.resnet import ResNetConfig, build_stage, stage_channels
from detzoo.config import NonNegativeInt, config


@config
class SharedStageConfig:
    """A ResNet stage applied to every region, shared by box and mask heads.

    Args:
        resnet: The ResNet.
        index: Index of the stage, from 0.
    """

    resnet: ResNetConfig
    index: NonNegativeInt = 3

    def from_scratch(self) -> SharedStageConfig:
        return dataclasses.replace(self, resnet=self.resnet.from_scratch())

    def build(self, in_channels: int) -> SharedStage:
        return SharedStage(self, in_channels)


class SharedStage(nn.Module):
    """The stage as ``layer{index + 1}``."""

    def __init__(self, config: SharedStageConfig, in_channels: int) -> None:
        super().__init__()
        stage = build_stage(config.resnet, config.index, in_channels)
        self.name = f"layer{config.index + 1}"
        self.add_module(self.name, stage)
        self.out_channels = stage_channels(config.resnet, config.index)
        self.stride = config.resnet.strides[config.index]

    def forward(self, x: Tensor) -> Tensor:
        return self.get_submodule(self.name)(x)
