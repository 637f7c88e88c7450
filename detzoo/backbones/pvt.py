"""Pyramid vision transformers (https://arxiv.org/abs/2102.12122, https://arxiv.org/abs/2106.13797)."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from detzoo.backbones.base import Backbone, BackboneConfig
from detzoo.config import Channels, PositiveInt, UnitFloat, config
from detzoo.errors import ConfigError

# One value per stage.
NUM_HEADS = (1, 2, 5, 8)
STRIDES = (4, 2, 2, 2)
REDUCTIONS = (8, 4, 2, 1)  # spatial reduction of keys and values, per side
PRETRAINING_SIZE = 224  # image size, in pixels, of the learned position embeddings
# Names by version, channels per head and blocks.
PUBLISHED = {
    (1, 64, (2, 2, 2, 2)): "pvt_tiny",
    (1, 64, (3, 4, 6, 3)): "pvt_small",
    (1, 64, (3, 4, 18, 3)): "pvt_medium",
    (1, 64, (3, 8, 27, 3)): "pvt_large",
    (2, 32, (2, 2, 2, 2)): "pvt_v2_b0",
    (2, 64, (2, 2, 2, 2)): "pvt_v2_b1",
    (2, 64, (3, 4, 6, 3)): "pvt_v2_b2",
    (2, 64, (3, 4, 18, 3)): "pvt_v2_b3",
    (2, 64, (3, 8, 27, 3)): "pvt_v2_b4",
    (2, 64, (3, 6, 40, 3)): "pvt_v2_b5",
}


@config
class PVTConfig(BackboneConfig):
    """Pyramid vision transformer, version 1 or 2.

    Version 2 has overlapping patches and, instead of position embeddings, depthwise convolutions in
    its feed-forward layers.

    Args:
        version: Version of the architecture.
        channels_per_head: Channels of each attention head.
        blocks: Number of blocks in each stage.
        hidden_ratios: Ratio of each stage's feed-forward width to its channels.
        stochastic_depth: Probability of dropping the last block in training; it grows linearly from
            0 at the first.
    """

    version: Literal[1, 2] = 1
    channels_per_head: Channels = 64
    blocks: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (3, 4, 6, 3)
    hidden_ratios: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (8, 8, 4, 4)
    stochastic_depth: UnitFloat = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.stochastic_depth < 1:
            raise ConfigError(f"stochastic_depth: {self.stochastic_depth} is not in [0, 1)")

    @property
    def architecture(self) -> str:
        key = (self.version, self.channels_per_head, self.blocks)
        return PUBLISHED.get(key, f"pvt_v{self.version}")

    def build(self) -> PVT:
        return PVT(self)

    def from_scratch(self) -> PVTConfig:
        return dataclasses.replace(self, pretrained=None)


class PVT(Backbone):
    """Four stages ``layers.i``: patch embedding (``0``), blocks (``1``) and norm (``2``)."""

    def __init__(self, config: PVTConfig) -> None:
        super().__init__()
        total = sum(config.blocks)
        rates = [config.stochastic_depth * block / max(total - 1, 1) for block in range(total)]
        channels, stride = 3, 1
        stages, widths, strides = [], [], []
        for index, num_blocks in enumerate(config.blocks):
            width = config.channels_per_head * NUM_HEADS[index]
            stride *= STRIDES[index]
            blocks: list[nn.Module] = []
            if config.version == 1:
                blocks.append(PositionEmbedding(PRETRAINING_SIZE // stride, width))
            for rate in rates[sum(config.blocks[:index]) :][:num_blocks]:
                blocks.append(
                    PVTBlock(
                        width,
                        num_heads=NUM_HEADS[index],
                        hidden=config.hidden_ratios[index] * width,
                        reduction=REDUCTIONS[index],
                        convolves=config.version == 2,
                        drop_rate=rate,
                    )
                )
            embedding = PatchEmbedding(channels, width, STRIDES[index], config.version == 2)
            norm = nn.Identity() if config.version == 1 else nn.LayerNorm(width, eps=1e-6)
            stages.append(nn.ModuleList([embedding, nn.ModuleList(blocks), norm]))
            channels = width
            widths.append(width)
            strides.append(stride)
        self.layers = nn.ModuleList(stages)
        self.out_channels, self.out_strides = tuple(widths), tuple(strides)
        _initialize(self)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        outputs = []
        for stage in self.layers:
            embed, blocks, norm = cast(tuple[nn.Module, nn.ModuleList, nn.Module], stage)
            tokens, size = embed(x)
            for block in blocks:
                tokens = block(tokens, size)
            x = _to_map(norm(tokens), size)
            outputs.append(x)
        return tuple(outputs)

    def frozen_modules(self) -> list[nn.Module]:
        return []


class PatchEmbedding(nn.Module):
    """Turns patches of a map into tokens; overlapping patches are about twice as large as their
    stride."""

    def __init__(self, in_channels: int, channels: int, stride: int, overlaps: bool) -> None:
        super().__init__()
        size, padding = (2 * stride - 1, stride - 1) if overlaps else (stride, 0)
        self.projection = nn.Conv2d(in_channels, channels, size, stride, padding)
        self.norm = nn.LayerNorm(channels, eps=1e-6)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """(B, C, H, W) -> tokens (B, N, D), and the height and width of their grid."""
        x = self.projection(x)
        return self.norm(_to_tokens(x)), (x.shape[2], x.shape[3])


class PositionEmbedding(nn.Module):
    """Learned position embeddings of a square of ``size`` cells, interpolated to the map's size."""

    def __init__(self, size: int, channels: int) -> None:
        super().__init__()
        self.size = size
        self.pos_embed = nn.Parameter(torch.zeros(1, size**2, channels))

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        square = _to_map(self.pos_embed, (self.size, self.size))
        return tokens + _to_tokens(F.interpolate(square, size=size, mode="bilinear"))


class PVTBlock(nn.Module):
    """A pre-norm transformer block: attention and a feed-forward layer, each with a shortcut."""

    def __init__(
        self,
        channels: int,
        *,
        num_heads: int,
        hidden: int,
        reduction: int,
        convolves: bool,
        drop_rate: float,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=1e-6)
        self.attn = ReducedAttention(channels, num_heads, reduction)
        self.norm2 = nn.LayerNorm(channels, eps=1e-6)
        self.ffn = FeedForward(channels, hidden, convolves)
        self.drop = StochasticDepth(drop_rate, "row")

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        tokens = tokens + self.drop(self.attn(self.norm1(tokens), size))
        return tokens + self.drop(self.ffn(self.norm2(tokens), size))


class ReducedAttention(nn.Module):
    """Self-attention (``attn``) whose keys and values are downsampled ``reduction`` times per
    side."""

    def __init__(self, channels: int, num_heads: int, reduction: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(channels, num_heads, batch_first=True)
        self.reduces = reduction > 1
        if self.reduces:
            self.sr = nn.Conv2d(channels, channels, reduction, reduction)
            self.norm = nn.LayerNorm(channels, eps=1e-6)

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        keys = tokens
        if self.reduces:
            keys = self.norm(_to_tokens(self.sr(_to_map(tokens, size))))
        return self.attn(tokens, keys, keys, need_weights=False)[0]


class FeedForward(nn.Module):
    """Child ``layers``: two 1x1 convolutions, with a depthwise 3x3 one in between in version 2."""

    def __init__(self, channels: int, hidden: int, convolves: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, hidden, 1)]
        if convolves:
            layers.append(nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden))
        # The identity replaces dropout, which no published model uses, to keep the numbering.
        layers += [nn.GELU(), nn.Identity(), nn.Conv2d(hidden, channels, 1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        return _to_tokens(self.layers(_to_map(tokens, size)))


def _to_map(tokens: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, H * W, C) -> (B, C, H, W)."""
    return tokens.transpose(1, 2).unflatten(2, size)


def _to_tokens(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H * W, C)."""
    return x.flatten(2).transpose(1, 2)


def _initialize(module: nn.Module) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.Conv2d):
            fan_out = layer.weight[:, 0].numel() // layer.groups
            nn.init.normal_(layer.weight, std=math.sqrt(2 / fan_out))
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, PositionEmbedding):
            nn.init.trunc_normal_(layer.pos_embed, std=0.02)
