"""Feature pyramid found by architecture search (NAS-FPN, https://arxiv.org/abs/1904.07392)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import Channels, NonNegativeInt, config
from detzoo.errors import ConfigError
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.norm import BatchNormConfig, NormConfig
from detzoo.necks.base import Neck, NeckConfig

NUM_LEVELS = 5  # P3 to P7, the levels of the searched architecture


@config
class NASFPNConfig(NeckConfig):
    """Repeats the searched sequence of merging cells over five levels.

    Args:
        out_channels: Channels of every output.
        start_level: Index of the first backbone map used; coarser levels are max-pooled.
        num_stages: Number of repetitions.
        norm: Norm after each convolution; None: a bias instead.
    """

    out_channels: Channels = 256
    start_level: NonNegativeInt = 1
    num_stages: NonNegativeInt = 7
    norm: NormConfig | None = BatchNormConfig()

    def build(self, in_channels: Sequence[int], in_strides: Sequence[int]) -> NASFPN:
        if not 0 < len(in_channels) - self.start_level <= NUM_LEVELS:
            raise ConfigError(
                f"model.neck.start_level: {self.start_level} leaves "
                f"{max(len(in_channels) - self.start_level, 0)} of {len(in_channels)} backbone "
                f"maps; NAS-FPN requires 1 to {NUM_LEVELS}"
            )
        return NASFPN(self, in_channels, in_strides)


class NASFPN(Neck):
    """Children ``lateral_convs``, ``extra_downsamples`` and ``fpn_stages``."""

    def __init__(
        self, config: NASFPNConfig, in_channels: Sequence[int], in_strides: Sequence[int]
    ) -> None:
        super().__init__()
        self.start_level = config.start_level
        channels, norm = config.out_channels, config.norm
        used = in_channels[config.start_level :]
        self.lateral_convs = nn.ModuleList(
            ConvModule(width, channels, 1, norm=norm, activation="none") for width in used
        )
        self.extra_downsamples = nn.ModuleList(
            nn.Sequential(
                ConvModule(channels, channels, 1, norm=norm, activation="none"),
                # A remaining odd row is kept: it may be the only one of a small image.
                nn.MaxPool2d(2, ceil_mode=True),
            )
            for _ in range(NUM_LEVELS - len(used))
        )
        self.fpn_stages = nn.ModuleList(Stage(channels, norm) for _ in range(config.num_stages))
        strides = list(in_strides[config.start_level :])
        while len(strides) < NUM_LEVELS:
            strides.append(strides[-1] * 2)
        self.out_channels, self.out_strides = (channels,) * NUM_LEVELS, tuple(strides)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)

    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        used = features[self.start_level :]
        levels = [conv(x) for conv, x in zip(self.lateral_convs, used)]
        for downsample in self.extra_downsamples:
            levels.append(downsample(levels[-1]))
        for stage in self.fpn_stages:
            levels = stage(*levels)
        return tuple(levels)


class Stage(nn.Module):
    """One repetition of the searched merging cells; a child per cell that ends in a convolution.

    ``gp_64_4`` merges P6 and P4 into P4 by global pooling attention; ``sum`` cells add.
    """

    def __init__(self, channels: int, norm: NormConfig | None) -> None:
        super().__init__()
        self.gp_64_4 = MergeConv(channels, norm)
        self.sum_44_4 = MergeConv(channels, norm)
        self.sum_43_3 = MergeConv(channels, norm)
        self.sum_34_4 = MergeConv(channels, norm)
        self.sum_55_5 = MergeConv(channels, norm)
        self.sum_77_7 = MergeConv(channels, norm)
        self.gp_75_6 = MergeConv(channels, norm)

    def forward(
        self, p3: Tensor, p4: Tensor, p5: Tensor, p6: Tensor, p7: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Five maps, fine to coarse -> five maps of the same sizes."""
        inner = self.gp_64_4(attend(p6, p4, like=p4))
        inner = self.sum_44_4(add(inner, p4, like=p4))
        p3 = self.sum_43_3(add(inner, p3, like=p3))
        p4 = self.sum_34_4(add(p3, inner, like=p4))
        p5 = self.sum_55_5(add(p5, attend(p4, p3, like=p5), like=p5))
        p7 = self.sum_77_7(add(p7, attend(p5, inner, like=p7), like=p7))
        p6 = self.gp_75_6(attend(p7, p5, like=p6))
        return p3, p4, p5, p6, p7


class MergeConv(nn.Module):
    """ReLU, 3x3 convolution and norm: child ``out_conv``."""

    def __init__(self, channels: int, norm: NormConfig | None) -> None:
        super().__init__()
        self.out_conv = ConvModule(
            channels, channels, 3, padding=1, bias=True, norm=norm, activation="none"
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.out_conv(F.relu(x))


def add(a: Tensor, b: Tensor, like: Tensor) -> Tensor:
    """The sum of two maps, resized to ``like``."""
    return resize(a, like) + resize(b, like)


def attend(a: Tensor, b: Tensor, like: Tensor) -> Tensor:
    """Global pooling attention: ``b`` plus ``a`` gated by the mean of ``b``, resized to
    ``like``."""
    a, b = resize(a, like), resize(b, like)
    return b + b.mean((2, 3), keepdim=True).sigmoid() * a


def resize(x: Tensor, like: Tensor) -> Tensor:
    """Resizes x to ``like``: nearest neighbor upsampling, or max pooling."""
    size = like.shape[2:]
    if x.shape[2:] == size:
        return x
    if x.shape[2:] < size:
        return F.interpolate(x, size, mode="nearest")
    return F.adaptive_max_pool2d(x, size)
