"""Feature pyramid grids (https://arxiv.org/abs/2004.03580)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import Channels, NonNegativeInt, PositiveInt, config
from detzoo.errors import ConfigError
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.norm import BatchNormConfig, NormConfig
from detzoo.necks.base import Neck, NeckConfig


@config
class FPGConfig(NeckConfig):
    """A grid of parallel bottom-up pathways, each of which sees the maps of the one before.

    Args:
        out_channels: Channels of every map and output.
        num_pathways: Number of pathways.
        starts: For each level, fine to coarse, the first pathway in which it takes part.
        start_level: Index of the first backbone map used.
        extra_convs: Whether levels beyond the backbone's are made by stride-2 convolutions instead
            of taking every second cell.
        norm: Norm after each convolution but those of inputs and outputs.
    """

    out_channels: Channels = 256
    num_pathways: PositiveInt = 9
    starts: tuple[NonNegativeInt, ...] = (4, 3, 2, 1, 0)
    start_level: NonNegativeInt = 0
    extra_convs: bool = False
    norm: NormConfig = BatchNormConfig()

    def __post_init__(self) -> None:
        if max(self.starts, default=0) > self.num_pathways:
            raise ConfigError(
                f"starts: {self.starts} begin after the last of {self.num_pathways} pathways"
            )

    def build(self, in_channels: Sequence[int], in_strides: Sequence[int]) -> FPG:
        return FPG(self, in_channels, in_strides)


class FPG(Neck):
    """Children ``lateral_convs``, ``extra_downsamples``, ``fpn_transitions`` by pathway and level,
    and ``output_transition``."""

    def __init__(
        self, config: FPGConfig, in_channels: Sequence[int], in_strides: Sequence[int]
    ) -> None:
        super().__init__()
        self.config = config
        used, levels = in_channels[config.start_level :], len(config.starts)
        if not 0 < len(used) <= levels:
            raise ConfigError(
                f"model.neck.starts: {levels} levels, but the backbone has {len(used)} maps from "
                f"start_level {config.start_level} on; give a level for each, at least"
            )
        channels = config.out_channels
        self.lateral_convs = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in used)
        self.extra_downsamples = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, stride=2, padding=1)
            if config.extra_convs
            else nn.MaxPool2d(1, stride=2)
            for _ in range(levels - len(used))
        )
        self.fpn_transitions = nn.ModuleList(
            nn.ModuleList(
                Cell(channels, config.norm, has_finer=level > 0, has_coarser=level < levels - 1)
                if start <= pathway
                else nn.Identity()
                for level, start in enumerate(config.starts)
            )
            for pathway in range(config.num_pathways)
        )
        self.output_transition = nn.ModuleList(Output(channels) for _ in range(levels))
        self.out_channels = (channels,) * levels
        strides = list(in_strides[config.start_level :])
        while len(strides) < levels:
            strides.append(strides[-1] * 2)
        self.out_strides = tuple(strides)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)

    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        used = features[self.config.start_level :]
        maps = [conv(x) for conv, x in zip(self.lateral_convs, used)]
        for downsample in self.extra_downsamples:
            maps.append(downsample(maps[-1]))
        first = [F.relu(x) for x in maps]
        active = first
        for pathway in self.fpn_transitions:
            assert isinstance(pathway, nn.ModuleList)
            added: list[Tensor] = []  # what this pathway has made so far, after ReLU
            for level, cell in enumerate(pathway):
                if isinstance(cell, Cell):
                    finer = added[-1] if added else None
                    coarser = active[level + 1] if level + 1 < len(active) else None
                    added.append(F.relu(cell(active[level], first[level], finer, coarser)))
                else:
                    added.append(active[level])
            active = added
        return tuple(output(x) for output, x in zip(self.output_transition, active))


class Cell(nn.Module):
    """One level of one pathway. Children ``across_lateral``, ``across_skip``, and where there are
    such levels ``same_up`` and ``across_down``."""

    def __init__(
        self, channels: int, norm: NormConfig, *, has_finer: bool, has_coarser: bool
    ) -> None:
        super().__init__()
        if has_finer:
            self.same_up = ConvModule(
                channels, channels, 3, stride=2, padding=1, norm=norm, activation="none"
            )
        self.across_lateral = ConvModule(channels, channels, 1, norm=norm, activation="none")
        if has_coarser:
            conv = ConvModule(channels, channels, 3, padding=1, norm=norm, activation="none")
            self.across_down = nn.ModuleDict({"conv": conv})
        self.across_skip = ConvModule(channels, channels, 1, norm=norm, activation="none")

    def forward(
        self, own: Tensor, first: Tensor, finer: Tensor | None, coarser: Tensor | None
    ) -> Tensor:
        """This level in the pathway before and at first, the next finer one in this pathway, and
        the next coarser one in the pathway before, all after ReLU -> this level (B, C, H, W)."""
        out = self.across_lateral(own)
        if finer is not None:
            out = self.same_up(finer) + out
        if coarser is not None:
            out = out + self.across_down["conv"](F.interpolate(coarser, out.shape[2:]))
        return out + self.across_skip(first)


class Output(nn.Module):
    """The last convolution of a level: child ``conv_out``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_out = ConvModule(channels, channels, 3, padding=1, activation="none")

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_out(x)
