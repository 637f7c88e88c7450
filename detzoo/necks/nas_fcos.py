"""Feature pyramid found by architecture search (NAS-FCOS, https://arxiv.org/abs/1906.04423)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import Channels, NonNegativeInt, PositiveInt, config
from detzoo.errors import ConfigError
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.convolution import ConvConfig, DeformConvConfig
from detzoo.layers.norm import BatchNormConfig, NormConfig
from detzoo.necks.base import Neck, NeckConfig

NUM_MAPS = 3
NORM = BatchNormConfig()


@config
class NASFCOSPyramidConfig(NeckConfig):
    """Three backbone maps, merged by a searched sequence of cells.

    Args:
        out_channels: Channels of every output.
        num_outputs: Number of outputs; those after the third are computed by stride-2 convolutions.
        start_level: Index of the first backbone map used.
        convolution: Kind of the convolutions of the cells.
        norm: Norm after each of them.
    """

    out_channels: Channels = 256
    num_outputs: PositiveInt = 5
    start_level: NonNegativeInt = 1
    convolution: ConvConfig = DeformConvConfig(groups=2, modulated=True)
    norm: NormConfig = NORM

    def build(self, in_channels: Sequence[int], in_strides: Sequence[int]) -> NASFCOSPyramid:
        if len(in_channels) - self.start_level != NUM_MAPS or self.num_outputs < NUM_MAPS:
            raise ConfigError(
                f"model.neck.start_level: NAS-FCOS computes at least {NUM_MAPS} maps from "
                f"{NUM_MAPS}, not {self.num_outputs} from {len(in_channels) - self.start_level}"
            )
        return NASFCOSPyramid(self, in_channels, in_strides)


class NASFCOSPyramid(Neck):
    """Children ``adapt_convs``, ``fpn`` and ``extra_downsamples``."""

    def __init__(
        self, config: NASFCOSPyramidConfig, in_channels: Sequence[int], in_strides: Sequence[int]
    ) -> None:
        super().__init__()
        width, start = config.out_channels, config.start_level
        self.start_level = start
        self.adapt_convs = nn.ModuleList(
            ConvModule(channels, width, 1, norm=NORM) for channels in in_channels[start:]
        )

        def cell(*, both: bool = True) -> MergeCell:
            return MergeCell(width, config.convolution, config.norm, both=both)

        # Named by the two maps that each cell merges: 0 to 2 are the backbone's, 3 the first
        # cell's.
        self.fpn = nn.ModuleDict(
            {
                "c22_1": cell(),
                "c22_2": cell(),
                "c32": cell(both=False),
                "c02": cell(both=False),
                "c42": cell(),
                "c36": cell(),
                "c61": cell(),
            }
        )
        extra = config.num_outputs - NUM_MAPS
        self.extra_downsamples = nn.ModuleList(Downsampling(width) for _ in range(extra))
        self.out_channels = (width,) * config.num_outputs
        strides = tuple(in_strides[start:])
        self.out_strides = (*strides, *(strides[-1] * 2 ** (n + 1) for n in range(extra)))
        for part in (self.adapt_convs, self.extra_downsamples):
            for module in part.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_uniform_(module.weight, a=1)

    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        used = features[self.start_level :]
        maps = [conv(x) for conv, x in zip(self.adapt_convs, used)]
        for name, cell in self.fpn.items():
            maps.append(cell(maps[int(name[1])], maps[int(name[2])]))
        outputs = []
        for number, x in zip((9, 8, 7), used):
            total = maps[number] + _resized(maps[5], maps[number].shape[2:])
            outputs.append(_resized(total, x.shape[2:]))
        for number, downsampling in enumerate(self.extra_downsamples):
            x = outputs[-1]
            outputs.append(downsampling(F.relu(x) if number > 0 else x))
        return tuple(outputs)


class MergeCell(nn.Module):
    """Concatenates two maps at the larger one's size, followed by a weighted sum per channel.

    Children ``input1_conv``, ``input2_conv`` unless only the first is convolved, ``out_conv``.
    """

    def __init__(
        self, channels: int, convolution: ConvConfig, norm: NormConfig, *, both: bool
    ) -> None:
        super().__init__()
        self.input1_conv, self.input2_conv = (
            ConvModule(
                channels, channels, 3, padding=1, bias=True, convolution=convolution, norm=norm
            )
            if convolved
            else nn.Identity()
            for convolved in (True, both)
        )
        self.out_conv = PairSum(channels)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        size = max(a.shape[2:], b.shape[2:])
        a, b = self.input1_conv(a), self.input2_conv(b)
        pair = [
            x if x.shape[2:] == size else F.interpolate(x, size, mode="nearest") for x in (a, b)
        ]
        return self.out_conv(torch.cat(pair, 1))


class PairSum(nn.Module):
    """Norm, ReLU, and a weighted sum of every two channels; children ``bn``, ``conv``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2 * channels, channels, 1, groups=channels, bias=False)
        self.bn = NORM.build(2 * channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.relu(self.bn(x)))


class Downsampling(nn.Module):
    """Convolution with stride 2; child ``conv``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        assert self.conv.bias is not None
        nn.init.zeros_(self.conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


def _resized(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, tuple(size), mode="bilinear")
