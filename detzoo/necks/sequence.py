"""Several necks in sequence."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from detzoo.config import ConfigError, config
from detzoo.necks.base import Neck, NeckConfig


@config
class NeckSequenceConfig(NeckConfig):
    """Runs necks in sequence, each on the output of the previous one.

    Args:
        necks: The necks; at least one.
    """

    necks: tuple[NeckConfig, ...]

    def __post_init__(self) -> None:
        if not self.necks:
            raise ConfigError("necks: is empty; give at least one neck")

    def build(self, in_channels: Sequence[int], in_strides: Sequence[int]) -> NeckSequence:
        return NeckSequence(self, in_channels, in_strides)


class NeckSequence(Neck):
    """Children ``0``, ``1``, ..."""

    def __init__(
        self, config: NeckSequenceConfig, in_channels: Sequence[int], in_strides: Sequence[int]
    ) -> None:
        super().__init__()
        self.out_channels, self.out_strides = tuple(in_channels), tuple(in_strides)
        for number, part in enumerate(config.necks):
            neck = part.build(self.out_channels, self.out_strides)
            self.out_channels, self.out_strides = neck.out_channels, neck.out_strides
            self.add_module(str(number), neck)

    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        for neck in self.children():
            features = neck(features)
        return features
