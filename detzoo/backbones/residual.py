"""Residual blocks (https://arxiv.org/abs/1512.03385) and their parts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from detzoo.layers.activations import Activation, activate
from detzoo.layers.context_block import ContextBlock
from detzoo.layers.conv_norm_act import conv_norm_act
from detzoo.layers.convolution import ConvConfig, PlainConvConfig
from detzoo.layers.fusion import has_hooks
from detzoo.layers.generalized_attention import GeneralizedAttentionConfig
from detzoo.layers.norm import BatchNormConfig, NormConfig, NormLayer

Style = Literal["pytorch", "caffe"]
PLAIN = PlainConvConfig()


@dataclass(frozen=True, kw_only=True)
class BlockLayers:
    """The kinds of layers in a residual block.

    ``spatial`` is the kind of a bottleneck's 3x3 convolution, ``convolution`` that of all others.
    With a ``context_ratio``, a bottleneck ends in a context block with that many hidden channels
    per channel; ``attention`` follows its 3x3 convolution. With ``averages``, shortcuts are those
    of ResNet-D. With ``zero_init``, the last norm starts at zero, so that a fresh block is its
    shortcut.
    """

    norm: NormConfig = BatchNormConfig()
    convolution: ConvConfig = PlainConvConfig()
    spatial: ConvConfig = PlainConvConfig()
    context_ratio: float | None = None
    attention: GeneralizedAttentionConfig | None = None
    averages: bool = False
    zero_init: bool = False


class NumberedNorms(nn.Module):
    """A module whose norms are named by kind and number: ``bn1``, ``gn2``.

    Each norm follows the child ``conv`` of the same number, unless a subclass defines otherwise.
    """

    def __init__(self, norm: NormConfig, channels: Mapping[int, int]) -> None:
        """``channels`` maps the number of each norm to its channels."""
        super().__init__()
        self.norm_numbers = tuple(channels)
        self.norm_kind = norm.child_name
        for number, width in channels.items():
            self.add_module(f"{self.norm_kind}{number}", norm.build(width))

    def norm(self, number: int) -> NormLayer:
        """The norm after convolution ``number``, counted from 1."""
        return getattr(self, f"{self.norm_kind}{number}")

    def conv_norm_pairs(self) -> Iterator[tuple[nn.Module, nn.Module]]:
        for number in self.norm_numbers:
            yield getattr(self, f"conv{number}"), self.norm(number)


class ResidualBlock(NumberedNorms, ABC):
    """A block with a shortcut (child ``downsample``)."""

    downsample: nn.Module

    def shortcut(self, x: Tensor, owns_input: bool) -> tuple[Tensor, bool]:
        """Returns the shortcut's output, and whether it may be overwritten because nothing else
        uses it.
        """
        out = self.downsample(x)
        if out is x:
            return out, owns_input
        return out, not any(has_hooks(module) for module in self.downsample.modules())

    @abstractmethod
    def forward(self, x: Tensor, owns_input: bool = False) -> Tensor:
        """``owns_input``: nothing else uses x, so fused inference may overwrite it."""


class BasicBlock(ResidualBlock):
    """Two 3x3 convolutions with a shortcut."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        layers: BlockLayers,
    ) -> None:
        super().__init__(layers.norm, {1: out_channels, 2: out_channels})
        kind = layers.convolution
        self.conv1 = conv3x3(kind, in_channels, out_channels, stride, dilation)
        self.conv2 = conv3x3(kind, out_channels, out_channels)
        self.downsample = shortcut(in_channels, out_channels, stride, layers)
        if layers.zero_init:
            nn.init.zeros_(self.norm(2).weight)

    def forward(self, x: Tensor, owns_input: bool = False) -> Tensor:
        shortcut, is_free = self.shortcut(x, owns_input)
        x = conv_norm_act(x, self.conv1, self.norm(1), "relu")
        return conv_norm_act(
            x, self.conv2, self.norm(2), "relu", shortcut=shortcut, reuse_shortcut=is_free
        )


class Bottleneck(ResidualBlock):
    """1x1, 3x3 and 1x1 convolutions with a shortcut; ``width`` channels inside."""

    def __init__(
        self,
        in_channels: int,
        width: int,
        out_channels: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        style: Style = "pytorch",
        layers: BlockLayers,
    ) -> None:
        super().__init__(layers.norm, {1: width, 2: width, 3: out_channels})
        stride1, stride2 = (1, stride) if style == "pytorch" else (stride, 1)
        self.conv1 = conv1x1(layers.convolution, in_channels, width, stride1)
        self.conv2 = conv3x3(layers.spatial, width, width, stride2, dilation, groups)
        self.conv3 = conv1x1(layers.convolution, width, out_channels)
        self.downsample = shortcut(in_channels, out_channels, stride, layers)
        self.gen_attention_block: nn.Module | None = None
        if layers.attention is not None:
            self.gen_attention_block = layers.attention.build(width)
        self.context_block: nn.Module | None = None
        if layers.context_ratio is not None:
            self.context_block = ContextBlock(out_channels, layers.context_ratio)
        if layers.zero_init:
            nn.init.zeros_(self.norm(3).weight)

    def forward(self, x: Tensor, owns_input: bool = False) -> Tensor:
        return self.residual_sum(x, "relu", owns_input)

    def residual_sum(self, x: Tensor, activation: Activation, owns_input: bool = False) -> Tensor:
        """The block's residual plus its shortcut; with activation "none", more terms can be
        added."""
        shortcut, is_free = self.shortcut(x, owns_input)
        x = conv_norm_act(x, self.conv1, self.norm(1), "relu")
        x = conv_norm_act(x, self.conv2, self.norm(2), "relu")
        if self.gen_attention_block is not None:
            x = self.gen_attention_block(x)
        if self.context_block is None:
            return conv_norm_act(
                x, self.conv3, self.norm(3), activation, shortcut=shortcut, reuse_shortcut=is_free
            )
        x = self.context_block(conv_norm_act(x, self.conv3, self.norm(3)))
        return activate(x + shortcut, activation)


class ConvNorm(nn.Sequential):
    """A convolution (child ``0``), its norm (child ``1``) and an activation."""

    def __init__(self, conv: nn.Conv2d, norm: NormLayer, activation: Activation = "none") -> None:
        super().__init__(conv, norm)
        self.activation: Activation = activation

    def conv_norm_pairs(self) -> Iterator[tuple[nn.Module, nn.Module]]:
        yield self[0], self[1]

    def forward(self, x: Tensor) -> Tensor:
        return conv_norm_act(x, self[0], self[1], self.activation)


class AverageShortcut(nn.Sequential):
    """The shortcut of ResNet-D: average pooling (child ``0``), then convolution and norm."""

    def conv_norm_pairs(self) -> Iterator[tuple[nn.Module, nn.Module]]:
        yield self[1], self[2]

    def forward(self, x: Tensor) -> Tensor:
        average, conv, norm = self
        return conv_norm_act(average(x), conv, norm)


class DeepStem(nn.Sequential):
    """The stem of ResNet-C: three 3x3 convolutions, the first of stride 2, with norms and ReLUs."""

    def __init__(self, channels: int, norm: NormConfig, kind: ConvConfig = PLAIN) -> None:
        half = channels // 2
        layers: list[nn.Module] = []
        for width_in, width, stride in ((3, half, 2), (half, half, 1), (half, channels, 1)):
            layers += [conv3x3(kind, width_in, width, stride), norm.build(width), nn.ReLU()]
        super().__init__(*layers)

    def conv_norm_pairs(self) -> Iterator[tuple[nn.Module, nn.Module]]:
        layers = tuple(self)
        yield from zip(layers[::3], layers[1::3])

    def forward(self, x: Tensor) -> Tensor:
        for conv, norm in self.conv_norm_pairs():
            x = conv_norm_act(x, conv, norm, "relu")
        return x


class Blocks(nn.Sequential):
    """Residual blocks in sequence. Each output is used only by the next block and by hooks."""

    def forward(self, x: Tensor) -> Tensor:
        owns_input = False
        for block in self:
            x = block(x, owns_input) if isinstance(block, ResidualBlock) else block(x)
            owns_input = not any(has_hooks(module) for module in (block, *block.children()))
        return x


def shortcut(in_channels: int, out_channels: int, stride: int, layers: BlockLayers) -> nn.Module:
    """Builds the shortcut of a block: the identity, or a 1x1 convolution with norm if the shape
    changes.
    """
    if layers.averages:
        return average_shortcut(in_channels, out_channels, stride, layers)
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    conv = conv1x1(layers.convolution, in_channels, out_channels, stride)
    return ConvNorm(conv, layers.norm.build(out_channels))


def average_shortcut(
    in_channels: int, out_channels: int, stride: int, layers: BlockLayers
) -> nn.Module:
    """The shortcut of ResNet-D (https://arxiv.org/abs/1812.01187), which average-pools first."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    average = nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)
    conv = conv1x1(layers.convolution, in_channels, out_channels)
    return AverageShortcut(average, conv, layers.norm.build(out_channels))


def conv1x1(kind: ConvConfig, in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """A 1x1 convolution without bias."""
    return initialized(kind.build(in_channels, out_channels, 1, stride=stride))


def conv3x3(
    kind: ConvConfig,
    in_channels: int,
    out_channels: int,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
) -> nn.Conv2d:
    """A 3x3 convolution without bias, padded so that only the stride changes the size."""
    return initialized(
        kind.build(
            in_channels,
            out_channels,
            3,
            stride=stride,
            padding=dilation,
            dilation=dilation,
            groups=groups,
        )
    )


def initialized(conv: nn.Conv2d) -> nn.Conv2d:
    """Initializes the kernel of ``conv`` for a ReLU after it (Kaiming, fan-out) and returns
    ``conv``."""
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv
