"""What every neck is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn
from typing_extensions import Self

from detzoo.config import config


@config
class NeckConfig(ABC):
    """Combines a backbone's feature maps."""

    @abstractmethod
    def build(self, in_channels: Sequence[int], in_strides: Sequence[int]) -> Neck:
        """The module for maps of ``in_channels`` with ``in_strides`` pixels per cell."""

    def from_scratch(self) -> Self:
        """The same neck for training without pretrained weights."""
        return self


class Neck(nn.Module, ABC):
    """Maps feature maps to feature maps, fine to coarse."""

    out_channels: tuple[int, ...]
    out_strides: tuple[int, ...]

    def pretrained_modules(self) -> tuple[nn.Module, ...]:
        """Modules that start from the backbone's pretrained weights, by the names therein."""
        return ()

    @abstractmethod
    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]: ...
