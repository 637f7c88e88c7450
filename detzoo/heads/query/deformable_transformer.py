"""Deformable DETR's transformer (https://arxiv.org/abs/2010.04159)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from detzoo.config import Channels, NonNegativeInt, PositiveInt, UnitFloat, config
from detzoo.heads.query.detr import check_channels
from detzoo.layers.attention import DeformableAttention, FeedForward, ResidualAttention
from detzoo.layers.positional_encoding import ValidCells


@config
class DeformableLayers:
    """The layers of an encoder with deformable attention.

    Args:
        channels: Channels of queries and cells; divisible by 4 and ``num_heads``.
        num_heads: Number of attention heads.
        num_points: Number of sampling locations per query, head and level.
        encoder_layers: Number of encoder layers.
        feedforward_channels: Hidden channels of the feed-forward layers.
        dropout: Dropout rate.
    """

    channels: Channels = 256
    num_heads: PositiveInt = 8
    num_points: PositiveInt = 4
    encoder_layers: NonNegativeInt = 6
    feedforward_channels: Channels = 1024
    dropout: UnitFloat = 0.1

    def __post_init__(self) -> None:
        check_channels(self.channels, self.num_heads)


@config
class DeformableTransformerConfig(DeformableLayers):
    """An encoder and a decoder with deformable attention.

    Args:
        decoder_layers: Number of decoder layers.
    """

    decoder_layers: PositiveInt = 6


@dataclass(frozen=True)
class Pyramid:
    """A feature pyramid of L maps, with all S cells concatenated.

    ``grids`` (height, width) are the sizes of the maps; ``ratios`` (B, L, 2: width, height) the
    valid fractions of them, without padding; ``valid`` (B, S) is the mask of valid cells, None:
    all; ``levels`` contains that of each map.
    """

    levels: Sequence[ValidCells]
    grids: tuple[tuple[int, int], ...]
    ratios: Tensor
    valid: Tensor | None

    @classmethod
    def of(cls, levels: Sequence[ValidCells]) -> Pyramid:
        complete = all(level.complete for level in levels)
        return cls(
            levels,
            tuple(level.grid for level in levels),
            torch.stack([level.ratios for level in levels], 1),
            None if complete else torch.cat([level.mask() for level in levels], 1),
        )

    def centers(self) -> Tensor:
        """The centers of all cells (B, S, 2: x, y), in normalized coordinates of the image."""
        centers = []
        for level in self.levels:
            height, width = level.grid
            y = torch.arange(height, device=self.ratios.device) + 0.5
            x = torch.arange(width, device=self.ratios.device) + 0.5
            grid = torch.stack([x.expand(height, -1), y[:, None].expand(-1, width)], -1)
            centers.append(grid.flatten(0, 1) / level.counts.flip(1)[:, None])
        return torch.cat(centers, 1)

    def on_levels(self, references: Tensor) -> Tensor:
        """References (B, Q, 2 or 4), normalized to the image -> (B, Q, L, 2 or 4), normalized to
        each map."""
        ratios = self.ratios.repeat(1, 1, references.shape[2] // 2)
        return references[:, :, None] * ratios[:, None]


class DeformableTransformer(nn.Module):
    """Children ``encoder``, ``decoder`` and parameter ``level_embeds``; ``reference_points`` for
    learned queries or, in two stages, ``enc_output``, ``pos_trans`` and their norms."""

    def __init__(
        self, config: DeformableTransformerConfig, num_levels: int, *, two_stage: bool
    ) -> None:
        super().__init__()
        channels = config.channels
        self.level_embeds = nn.Parameter(torch.empty((num_levels, channels)))
        self.encoder = LayerStack(
            DeformableEncoderLayer(config, num_levels) for _ in range(config.encoder_layers)
        )
        self.decoder = LayerStack(
            DeformableDecoderLayer(config, num_levels) for _ in range(config.decoder_layers)
        )
        if two_stage:
            self.enc_output = nn.Linear(channels, channels)
            self.enc_output_norm = nn.LayerNorm(channels)
            self.pos_trans = nn.Linear(2 * channels, 2 * channels)
            self.pos_trans_norm = nn.LayerNorm(2 * channels)
        else:
            self.reference_points = nn.Linear(channels, 2)
            nn.init.zeros_(self.reference_points.bias)
        self._initialize()

    def _initialize(self) -> None:
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        for module in self.modules():
            if isinstance(module, DeformableAttention):
                module.initialize()
        nn.init.normal_(self.level_embeds)

    def encode(
        self, features: Sequence[Tensor], positions: Sequence[Tensor], pyramid: Pyramid
    ) -> Tensor:
        """Maps (B, C, H_l, W_l) and their positional encodings (B, H_l * W_l, C) -> cells (B, S,
        C).
        """
        x = torch.cat([feature.flatten(2).transpose(1, 2) for feature in features], 1)
        placed = [level + embed for level, embed in zip(positions, self.level_embeds)]
        references = pyramid.on_levels(pyramid.centers())
        at = torch.cat(placed, 1).to(x.dtype)
        for layer in self.encoder.layers:
            x = layer(x, at, pyramid, references)
        return x

    def propose(self, memory: Tensor, pyramid: Pyramid) -> tuple[Tensor, Tensor]:
        """Returns cells (B, S, C), and the initial box (B, S, 4) of each as logits.

        A box is centered on its cell, with sides of 0.05 on the first level, doubled on each
        further level, in normalized coordinates. Cells outside the image or too close to its border
        are zeroed, and their boxes are infinite, so that deltas have no effect after the sigmoid.
        """
        sides = [
            torch.full((height * width, 2), 0.05 * 2**level, device=memory.device)
            for level, (height, width) in enumerate(pyramid.grids)
        ]
        centers = pyramid.centers()
        boxes = torch.cat([centers, torch.cat(sides).expand_as(centers)], 2)
        usable = ((boxes > 0.01) & (boxes < 0.99)).all(2, keepdim=True)
        if pyramid.valid is not None:
            usable = usable & pyramid.valid[..., None]
        cells = self.enc_output_norm(self.enc_output(memory * usable))
        return cells, boxes.logit().masked_fill(~usable, float("inf"))

    def queries_of(self, embeddings: Tensor) -> Tensor:
        """Embeddings of proposed boxes (B, Q, 2C) -> positions, content of queries (B, Q, 2C)."""
        return self.pos_trans_norm(self.pos_trans(embeddings))


class LayerStack(nn.Module):
    """Child ``layers``."""

    def __init__(self, layers: Iterable[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)


class DeformableEncoderLayer(nn.Module):
    """Deformable self-attention of cells. Children ``attentions``, ``ffns``, ``norms``."""

    def __init__(self, config: DeformableLayers, num_levels: int) -> None:
        super().__init__()
        width, dropout = config.channels, config.dropout
        self.attentions = nn.ModuleList([_deformable(config, num_levels)])
        self.ffns = nn.ModuleList([FeedForward(width, config.feedforward_channels, dropout)])
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))

    def forward(self, x: Tensor, positions: Tensor, pyramid: Pyramid, references: Tensor) -> Tensor:
        (attention,) = self.attentions
        x = attention(x, x + positions, x, pyramid.grids, references, pyramid.valid)
        x = self.norms[0](x)
        return self.norms[1](x + self.ffns[0](x))


class DeformableDecoderLayer(nn.Module):
    """Self-attention of queries, then deformable attention to cells. Children as in the encoder."""

    def __init__(self, config: DeformableTransformerConfig, num_levels: int) -> None:
        super().__init__()
        width, dropout = config.channels, config.dropout
        self.attentions = nn.ModuleList(
            [ResidualAttention(width, config.num_heads, dropout), _deformable(config, num_levels)]
        )
        self.ffns = nn.ModuleList([FeedForward(width, config.feedforward_channels, dropout)])
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))

    def forward(
        self, x: Tensor, positions: Tensor, memory: Tensor, pyramid: Pyramid, references: Tensor
    ) -> Tensor:
        """``references`` (B, Q, 2 or 4) are points or boxes (center, size), in normalized
        coordinates."""
        among, across = self.attentions
        placed = x + positions
        x = self.norms[0](among(x, placed, placed, x))
        references = pyramid.on_levels(references)
        x = across(x, x + positions, memory, pyramid.grids, references, pyramid.valid)
        x = self.norms[1](x)
        return self.norms[2](x + self.ffns[0](x))


def inverse_sigmoid(x: Tensor, eps: float = 1e-5) -> Tensor:
    """The logits of probabilities, finite even for 0 and 1."""
    return (x.clamp(min=eps) / (1 - x).clamp(min=eps)).log()


def _deformable(config: DeformableLayers, num_levels: int) -> DeformableAttention:
    return DeformableAttention(
        config.channels, config.num_heads, num_levels, config.num_points, config.dropout
    )
