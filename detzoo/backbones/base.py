"""What every backbone is."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from detzoo.config import config


@config
class BackboneConfig(ABC):
    """A feature extractor. ``pretrained`` names the weights it starts from: ``pretrained.py``."""

    pretrained: str | None = None

    @abstractmethod
    def build(self) -> Backbone:
        """The module, with freshly initialised parameters."""

    @abstractmethod
    def from_scratch(self) -> BackboneConfig:
        """The same backbone for training without pretrained weights: nothing frozen."""


class Backbone(nn.Module, ABC):
    """Maps pixels (B, 3, H, W) to feature maps, fine to coarse."""

    out_channels: tuple[int, ...]
    out_strides: tuple[int, ...]  # pixels per cell

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, ...]: ...
