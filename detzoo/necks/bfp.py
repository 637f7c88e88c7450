"""Balanced feature pyramid (Libra R-CNN, https://arxiv.org/abs/1904.02701)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import NonNegativeInt, config
from detzoo.errors import ConfigError
from detzoo.layers.non_local import NonLocal
from detzoo.necks.base import Neck, NeckConfig


@config
class BFPConfig(NeckConfig):
    """Balanced feature pyramid: adds to every level the mean of all levels, refined by a non-local
    block.

    Args:
        refine_level: Level, counted from 0, at whose resolution the levels are averaged and
            refined.
    """

    refine_level: NonNegativeInt = 2

    def build(self, in_channels: Sequence[int], in_strides: Sequence[int]) -> BFP:
        if not 0 <= self.refine_level < len(in_channels):
            raise ConfigError(
                f"refine_level: {self.refine_level} is not in 0..{len(in_channels) - 1}"
            )
        return BFP(self, in_channels, in_strides)


class BFP(Neck):
    """Child ``refine``."""

    def __init__(
        self, config: BFPConfig, in_channels: Sequence[int], in_strides: Sequence[int]
    ) -> None:
        super().__init__()
        self.refine_level = config.refine_level
        self.out_channels, self.out_strides = tuple(in_channels), tuple(in_strides)
        self.refine = NonLocal(in_channels[0])
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)

    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        size = features[self.refine_level].shape[2:]
        gathered = [
            F.adaptive_max_pool2d(x, size)
            if level < self.refine_level
            else F.interpolate(x, size, mode="nearest")
            for level, x in enumerate(features)
        ]
        mean = self.refine(torch.stack(gathered).mean(0))
        return tuple(
            x + F.interpolate(mean, x.shape[2:], mode="nearest")
            if level < self.refine_level
            else x + F.adaptive_max_pool2d(mean, x.shape[2:])
            for level, x in enumerate(features)
        )
