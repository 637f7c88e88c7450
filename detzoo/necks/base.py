"""The interface of necks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn
from typing_extensions import Self

from detzoo.config import config


@config
class NeckConfig(ABC):
    """A module between backbone and heads that combines feature maps."""

    @abstractmethod
    def build(self, in_channels: Sequence[int], in_strides: Sequence[int]) -> Neck:
        """Builds the module for maps with ``in_channels`` and ``in_strides`` (in pixels)."""

    def from_scratch(self) -> Self:
        """Returns the same neck for training without pretrained weights."""
        return self


class Neck(nn.Module, ABC):
    """Turns feature maps into feature maps, fine to coarse."""

    out_channels: tuple[int, ...]
    out_strides: tuple[int, ...]

    def pretrained_modules(self) -> tuple[nn.Module, ...]:
        """Modules initialized with the backbone's pretrained weights, by the backbone's names."""
        return ()

    @abstractmethod
    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]: ...
