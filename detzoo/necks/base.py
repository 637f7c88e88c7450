"""What every neck is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from detzoo.config import config


@config
class NeckConfig(ABC):
    """Combines a backbone's feature maps."""

    @abstractmethod
    def build(self, in_channels: Sequence[int]) -> Neck:
        """The module for a backbone whose maps have ``in_channels``."""


class Neck(nn.Module, ABC):
    """Maps feature maps to feature maps, fine to coarse."""

    out_channels: tuple[int, ...]

    @abstractmethod
    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]: ...
