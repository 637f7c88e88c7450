"""Feature pyramid network (https://arxiv.org/abs/1612.03144)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import Channels, NonNegativeInt, PositiveInt, config
from detzoo.errors import ConfigError
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.convolution import ConvConfig, PlainConvConfig
from detzoo.layers.fusion import is_concrete
from detzoo.layers.norm import NormConfig
from detzoo.necks.base import Neck, NeckConfig

ExtraLevels = Literal["max_pool", "on_input", "on_output"]
Upsampling = Literal["nearest", "bilinear"]


@config
class FPNConfig(NeckConfig):
    """Feature pyramid network: a top-down pathway with lateral connections.

    Args:
        out_channels: Channels of every output.
        num_outputs: Number of outputs, at least one per backbone map used.
        start_level: Index of the first backbone map used.
        extra_levels: How additional outputs are computed: by max pooling the last output
            ("max_pool"), or by stride-2 convolutions of the last backbone map ("on_input") or the
            last output ("on_output").
        relu_between_extras: Apply a ReLU between the stride-2 convolutions.
        upsampling: How a level is resized to the next finer one.
        convolution: Kind of all convolutions.
        norm: Norm after each convolution; None: a bias instead.
        norm_on_lateral: Whether lateral convolutions also have a norm.
        initialization: Xavier uniform, or Kaiming uniform by fan-in (called "caffe2_xavier" in
            Caffe2).
    """

    out_channels: Channels = 256
    num_outputs: PositiveInt = 5
    start_level: NonNegativeInt = 0
    extra_levels: ExtraLevels = "max_pool"
    relu_between_extras: bool = False
    upsampling: Upsampling = "nearest"
    convolution: ConvConfig = PlainConvConfig()
    norm: NormConfig | None = None
    norm_on_lateral: bool = True
    initialization: Literal["xavier", "caffe2_xavier"] = "xavier"

    def build(self, in_channels: Sequence[int], in_strides: Sequence[int]) -> FPN:
        return FPN(self, in_channels, in_strides)


class FPN(Neck):
    """Children ``lateral_convs`` and ``fpn_convs``; additional levels continue in ``fpn_convs``."""

    def __init__(
        self, config: FPNConfig, in_channels: Sequence[int], in_strides: Sequence[int]
    ) -> None:
        super().__init__()
        _check_levels(config, len(in_channels))
        self.config = config
        self.lateral_convs, self.fpn_convs = pyramid_convs(config, in_channels)
        self.out_channels = (config.out_channels,) * config.num_outputs
        self.out_strides = pyramid_strides(config, in_strides)

    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return pyramid(self.config, self.lateral_convs, self.fpn_convs, features)


def _check_levels(config: FPNConfig, num_maps: int) -> None:
    """Raises :class:`ConfigError` if the pyramid does not fit a backbone with ``num_maps``."""
    if config.start_level >= num_maps:
        raise ConfigError(
            f"model.neck.start_level: {config.start_level} is not in 0..{num_maps - 1}, "
            "the indices of the backbone's maps"
        )
    used = num_maps - config.start_level
    if config.num_outputs < used:
        raise ConfigError(
            f"model.neck.num_outputs: {config.num_outputs} is fewer than the "
            f"{used} backbone maps from start_level on"
        )


def pyramid_convs(
    config: FPNConfig, in_channels: Sequence[int]
) -> tuple[nn.ModuleList, nn.ModuleList]:
    """Builds the lateral and the output convolutions of a pyramid."""
    channels = config.out_channels
    used = in_channels[config.start_level :]
    lateral_norm = config.norm if config.norm_on_lateral else None
    lateral_convs = nn.ModuleList(
        ConvModule(
            width,
            channels,
            1,
            convolution=config.convolution,
            norm=lateral_norm,
            activation="none",
        )
        for width in used
    )
    fpn_convs = nn.ModuleList(conv3x3(channels, channels, 1, config) for _ in used)
    if config.extra_levels != "max_pool":
        width = used[-1] if config.extra_levels == "on_input" else channels
        for _ in range(config.num_outputs - len(used)):
            fpn_convs.append(conv3x3(width, channels, 2, config))
            width = channels
    initialize_convs(config, lateral_convs, fpn_convs)
    return lateral_convs, fpn_convs


def initialize_convs(config: FPNConfig, *parts: nn.Module) -> None:
    """Initializes the kernels of all convolutions in ``parts`` according to ``config``."""
    for part in parts:
        for module in part.modules():
            if isinstance(module, nn.Conv2d):
                if config.initialization == "xavier":
                    nn.init.xavier_uniform_(module.weight)
                else:
                    nn.init.kaiming_uniform_(module.weight, a=1)


def pyramid_strides(config: FPNConfig, in_strides: Sequence[int]) -> tuple[int, ...]:
    """The stride of each output, in pixels."""
    used = tuple(in_strides[config.start_level :])
    extra = range(config.num_outputs - len(used))
    return (*used, *(used[-1] * 2 ** (number + 1) for number in extra))


def pyramid(
    config: FPNConfig,
    lateral_convs: nn.ModuleList,
    fpn_convs: nn.ModuleList,
    features: Sequence[Tensor],
) -> tuple[Tensor, ...]:
    """Computes the pyramid of a backbone's maps with the convolutions of :func:`pyramid_convs`."""
    used = features[config.start_level :]
    outputs = top_down(lateral_convs, fpn_convs, used, config.upsampling)
    return with_extra_levels(config, fpn_convs, used, outputs)


def top_down(
    lateral_convs: nn.ModuleList,
    fpn_convs: nn.ModuleList,
    used: Sequence[Tensor],
    upsampling: Upsampling,
) -> list[Tensor]:
    """Computes one output per backbone map ``used``, fine to coarse."""
    laterals: list[Tensor] = []  # coarse to fine
    for conv, x in zip(reversed(lateral_convs), reversed(used)):
        above = None
        if laterals:
            above = F.interpolate(laterals[-1], size=x.shape[2:], mode=upsampling)
        laterals.append(conv(x, shortcut=above, reuse_shortcut=True))
    return [conv(x) for conv, x in zip(fpn_convs, reversed(laterals))]


def with_extra_levels(
    config: FPNConfig, fpn_convs: nn.ModuleList, used: Sequence[Tensor], outputs: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """Appends the levels beyond the backbone maps ``used`` to ``outputs``."""
    outputs = list(outputs)
    if config.extra_levels == "max_pool":
        for _ in range(config.num_outputs - len(used)):
            outputs.append(F.max_pool2d(outputs[-1], 1, stride=2))
        return tuple(outputs)
    x = used[-1] if config.extra_levels == "on_input" else outputs[-1]
    for number, conv in enumerate(fpn_convs[len(used) :]):
        x = halved(F.relu(x) if config.relu_between_extras and number > 0 else x, conv)
        outputs.append(x)
    return tuple(outputs)


def halved(x: Tensor, conv: nn.Module) -> Tensor:
    """Applies a 3x3 convolution with stride 2.

    A single cell, all that is left of a small image, gets others of zeros beside it, which change
    nothing: for maps of one cell, oneDNN leaves the gradient of such a kernel uninitialized in
    bfloat16 on processors with AMX.
    """
    if is_concrete(x) and x.shape[2:] == (1, 1):
        x = F.pad(x, (0, 1, 0, 1))
    return conv(x)


def conv3x3(in_channels: int, out_channels: int, stride: int, config: FPNConfig) -> ConvModule:
    """Builds a 3x3 convolution of the kind and with the norm of ``config``."""
    return ConvModule(
        in_channels,
        out_channels,
        3,
        stride=stride,
        padding=1,
        convolution=config.convolution,
        norm=config.norm,
        activation="none",
    )
