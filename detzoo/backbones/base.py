"""The interface of backbones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn
from typing_extensions import Self, Unpack

from detzoo.config import config


@config
class BackboneConfig(ABC):
    """A feature extractor.

    Args:
        pretrained: Name or file of the pretrained weights; see ``backbones/pretrained.py``.
            ``{architecture}`` is replaced by the backbone's own, so that the weights match its
            depth.
    """

    pretrained: str | None = None

    @property
    @abstractmethod
    def architecture(self) -> str:
        """The name of this backbone in published weights, such as ``resnet50``."""

    @property
    def pretrained_name(self) -> str | None:
        """``pretrained`` with ``{architecture}`` replaced."""
        if self.pretrained is None:
            return None
        return self.pretrained.replace("{architecture}", self.architecture)

    @abstractmethod
    def build(self) -> Backbone:
        """Builds the module with initialized parameters."""

    @abstractmethod
    def from_scratch(self) -> BackboneConfig:
        """Returns the same backbone for training without pretrained weights: nothing is frozen."""


class Backbone(nn.Module, ABC):
    """Turns pixels (B, 3, H, W) into feature maps, fine to coarse."""

    out_channels: tuple[int, ...]
    out_strides: tuple[int, ...]  # pixels per cell

    @abstractmethod
    def frozen_modules(self) -> list[nn.Module]:
        """The modules that training leaves unchanged, statistics included."""

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for module in self.frozen_modules():
            module.eval()
        return self

    def own_weights(self, name: str) -> Mapping[str, Tensor] | None:
        """The weights called ``name`` if the backbone itself can locate them, otherwise None."""
        return None

    def fit_weights(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Adapts pretrained ``weights`` that depend on the image size."""
        return weights

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, ...]: ...


# A backbone, and other modules that are also initialized with its pretrained weights.
PretrainedModules = tuple[Backbone, Unpack[tuple[nn.Module, ...]]]
