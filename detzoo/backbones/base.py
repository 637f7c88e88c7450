"""What every backbone is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn
from typing_extensions import Self, Unpack

from detzoo.config import config


@config
class BackboneConfig(ABC):
    """A feature extractor. ``pretrained`` names the weights it starts from: ``pretrained.py``.

    In the name, ``{architecture}`` stands for the backbone's own, so that weights follow its depth.
    """

    pretrained: str | None = None

    @property
    @abstractmethod
    def architecture(self) -> str:
        """What published weights call this backbone, such as ``resnet50``."""

    @property
    def pretrained_name(self) -> str | None:
        """``pretrained`` with the architecture filled in."""
        if self.pretrained is None:
            return None
        return self.pretrained.replace("{architecture}", self.architecture)

    @abstractmethod
    def build(self) -> Backbone:
        """The module, with freshly initialized parameters."""

    @abstractmethod
    def from_scratch(self) -> BackboneConfig:
        """The same backbone for training without pretrained weights: nothing frozen."""


class Backbone(nn.Module, ABC):
    """Maps pixels (B, 3, H, W) to feature maps, fine to coarse."""

    out_channels: tuple[int, ...]
    out_strides: tuple[int, ...]  # pixels per cell

    @abstractmethod
    def frozen_modules(self) -> list[nn.Module]:
        """The modules that training leaves as they are, statistics included."""

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for module in self.frozen_modules():
            module.eval()
        return self

    def own_weights(self, name: str) -> Mapping[str, Tensor] | None:
        """The weights called ``name`` where the backbone finds them itself, else None."""
        return None

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, ...]: ...


# A backbone, and modules elsewhere that start from its pretrained weights too.
PretrainedModules = tuple[Backbone, Unpack[tuple[nn.Module, ...]]]
