"""Mask2Former: queries that attend within the masks that they predict
(https://arxiv.org/abs/2112.01527)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import Channels, PositiveInt, UnitFloat, config
from detzoo.heads.query.deformable_pixel_decoder import DeformablePixelDecoderConfig
from detzoo.heads.query.detr import check_channels
from detzoo.heads.query.mask_base import MaskQueryHead, MaskQueryHeadConfig
from detzoo.heads.query.mask_set_loss import MaskQueryPredictions
from detzoo.layers.attention import FeedForward, ResidualAttention
from detzoo.layers.positional_encoding import ValidCells
from detzoo.structures import ImageBatch


@config
class MaskedDecoderConfig:
    """Layers of attention to one map each, within the queries' masks, and among queries.

    Args:
        num_heads: Number of attention heads.
        decoder_layers: Number of layers; they attend to the coarse maps in turn.
        feedforward_channels: Hidden channels of the feed-forward layers.
        dropout: Dropout rate.
    """

    num_heads: PositiveInt = 8
    decoder_layers: PositiveInt = 9
    feedforward_channels: Channels = 2048
    dropout: UnitFloat = 0.0


@config
class Mask2FormerHeadConfig(MaskQueryHeadConfig):
    """Mask2Former: masked attention to a pyramid, coarse to fine, and losses on sampled points.

    Args:
        pixel_decoder: Computes the pyramid, and the features of masks.
        decoder: The decoder; its channels are those of the pixel decoder.
    """

    pixel_decoder: DeformablePixelDecoderConfig = DeformablePixelDecoderConfig()
    decoder: MaskedDecoderConfig = MaskedDecoderConfig()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_channels(self.pixel_decoder.channels, self.decoder.num_heads)

    def build(self, in_channels: Sequence[int], num_things: int, num_stuff: int) -> Mask2FormerHead:
        return Mask2FormerHead(self, in_channels, num_things, num_stuff)


class Mask2FormerHead(MaskQueryHead):
    """Children ``pixel_decoder``, ``transformer_decoder``, ``query_feat`` and ``level_embed``."""

    config: Mask2FormerHeadConfig

    def __init__(
        self,
        config: Mask2FormerHeadConfig,
        in_channels: Sequence[int],
        num_things: int,
        num_stuff: int,
    ) -> None:
        channels = config.pixel_decoder.channels
        super().__init__(config, channels, num_things, num_stuff)
        self.pixel_decoder = config.pixel_decoder.build(in_channels, config.positions)
        self.transformer_decoder = MaskedDecoder(config.decoder, channels)
        self.query_feat = nn.Embedding(config.num_queries, channels)
        self.level_embed = nn.Embedding(config.pixel_decoder.num_levels, channels)

    def forward(self, features: Sequence[Tensor], images: ImageBatch) -> MaskQueryPredictions:
        mask_features, maps = self.pixel_decoder(features)
        levels = []
        for x, embedding in zip(maps, self.level_embed.weight):
            grid = (x.shape[2], x.shape[3])
            cells = ValidCells.all_of(grid, x.device)
            memory = x.flatten(2).transpose(1, 2) + embedding
            levels.append((grid, memory, self.config.positions(cells, x.shape[1]).to(x.dtype)))
        x = self.query_feat.weight.expand(len(mask_features), -1, -1)
        placed = self.query_embed.weight
        decoder = self.transformer_decoder
        class_logits, mask_logits = self.predict(decoder.post_norm(x), mask_features)
        logits, masks = [class_logits], [mask_logits]
        for number, layer in enumerate(decoder.layers):
            grid, memory, positions = levels[number % len(levels)]
            attended = attended_cells(masks[-1], grid)
            x = layer(x, placed, memory, memory + positions, attended)
            class_logits, mask_logits = self.predict(decoder.post_norm(x), mask_features)
            logits.append(class_logits)
            masks.append(mask_logits)
        size = (images.pixels.shape[2], images.pixels.shape[3])
        return MaskQueryPredictions(torch.stack(logits), tuple(masks), size)


@torch.no_grad()
def attended_cells(masks: Tensor, grid: tuple[int, int]) -> Tensor:
    """The cells of a map of size ``grid`` within the masks (B, Q, h, w), or all of them if there
    are none: (B, Q, H * W) bool.
    """
    inside = F.interpolate(masks, grid, mode="bilinear").flatten(2).sigmoid() >= 0.5
    return inside | ~inside.any(2, keepdim=True)


class MaskedDecoder(nn.Module):
    """Children ``layers`` and ``post_norm``, which the head applies to what each layer returns."""

    def __init__(self, config: MaskedDecoderConfig, channels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            MaskedDecoderLayer(config, channels) for _ in range(config.decoder_layers)
        )
        self.post_norm = nn.LayerNorm(channels)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_normal_(parameter)


class MaskedDecoderLayer(nn.Module):
    """Attention to the cells within the queries' masks, then self-attention of queries. Children
    ``attentions``, ``ffns`` and ``norms``.
    """

    def __init__(self, config: MaskedDecoderConfig, channels: int) -> None:
        super().__init__()
        dropout = config.dropout
        self.attentions = nn.ModuleList(
            ResidualAttention(channels, config.num_heads, dropout) for _ in range(2)
        )
        self.ffns = nn.ModuleList([FeedForward(channels, config.feedforward_channels, dropout)])
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(3))

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        memory: Tensor,
        placed_memory: Tensor,
        attended: Tensor,
    ) -> Tensor:
        """Queries (B, Q, C) with ``positions`` (Q, C), cells (B, K, C) without and with their
        positional encoding, of which each query attends to those of ``attended`` (B, Q, K).
        """
        across, among = self.attentions
        x = self.norms[0](across(x, x + positions, placed_memory, memory, attended))
        placed = x + positions
        x = self.norms[1](among(x, placed, placed, x))
        return self.norms[2](x + self.ffns[0](x))
