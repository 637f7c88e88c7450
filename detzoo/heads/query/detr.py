"""DETR: a transformer between a feature map and queries (https://arxiv.org/abs/2005.12872)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.assigners.hungarian import HungarianAssigner, ProbabilityCost
from detzoo.config import Channels, ConfigError, NonNegativeInt, PositiveInt, UnitFloat, config
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.query.base import QueryHead, QueryHeadConfig, clipped, to_pixels
from detzoo.heads.query.set_loss import QueryPredictions, SetLoss
from detzoo.layers.attention import FeedForward, ResidualAttention
from detzoo.layers.positional_encoding import ValidCells
from detzoo.losses.classification import SoftmaxCrossEntropy
from detzoo.structures import Detections, ImageBatch, ImageInfo


@config
class TransformerConfig:
    """An encoder and a decoder with a norm after each step (post-norm).

    Args:
        channels: Channels of queries and cells; divisible by 4 and ``num_heads``.
        num_heads: Number of attention heads.
        encoder_layers: Number of encoder layers.
        decoder_layers: Number of decoder layers.
        feedforward_channels: Hidden channels of the feed-forward layers.
        dropout: Dropout rate.
    """

    channels: Channels = 256
    num_heads: PositiveInt = 8
    encoder_layers: NonNegativeInt = 6
    decoder_layers: PositiveInt = 6
    feedforward_channels: Channels = 2048
    dropout: UnitFloat = 0.1

    def __post_init__(self) -> None:
        check_channels(self.channels, self.num_heads)


def check_channels(channels: int, num_heads: int) -> None:
    """Raises :class:`ConfigError` unless ``channels`` is divisible by 4 and ``num_heads``."""
    if channels % num_heads or channels % 4:
        raise ConfigError(
            f"channels: {channels} is not a multiple of 4 and of num_heads, {num_heads}"
        )


@config
class DETRHeadConfig(QueryHeadConfig):
    """DETR: queries that attend to the last feature map.

    Args:
        transformer: The transformer.
    """

    num_queries: PositiveInt = 100
    transformer: TransformerConfig = TransformerConfig()
    loss: SetLoss = SetLoss(
        assigner=HungarianAssigner(class_cost=ProbabilityCost()),
        classification_loss=SoftmaxCrossEntropy(),
        background_weight=0.1,
    )

    def build(self, in_channels: Sequence[int], num_classes: int) -> DETRHead:
        return DETRHead(self, in_channels, num_classes)


class DETRHead(QueryHead):
    """Children ``positional_encoding``, ``transformer``, ``input_proj``, ``query_embedding``, and
    ``fc_cls``, ``reg_ffn`` and ``fc_reg``, which all decoder layers share."""

    config: DETRHeadConfig

    def __init__(
        self, config: DETRHeadConfig, in_channels: Sequence[int], num_classes: int
    ) -> None:
        super().__init__(config, num_classes)
        channels = config.transformer.channels
        self.positional_encoding = config.positions.build(channels)
        self.transformer = Transformer(config.transformer)
        self.input_proj = nn.Conv2d(in_channels[-1], channels, 1)
        self.fc_cls = nn.Linear(channels, self.num_outputs)
        self.reg_ffn = FeedForward(channels, channels)
        self.fc_reg = nn.Linear(channels, 4)
        self.query_embedding = nn.Embedding(config.num_queries, channels)

    def class_parameters(self) -> dict[str, ClassRows]:
        rows = ClassRows(shared=self.config.loss.classification_loss.num_outputs(0))
        return {"fc_cls.weight": rows, "fc_cls.bias": rows}

    def forward(self, features: Sequence[Tensor], images: ImageBatch) -> QueryPredictions:
        x = self.input_proj(features[-1])
        grid = (x.shape[2], x.shape[3])
        size = (images.pixels.shape[2], images.pixels.shape[3])
        valid = ValidCells.of(images.infos, size, grid, x.device)
        positions = self.positional_encoding(valid).to(x.dtype)
        key_mask = None if valid.complete else valid.mask()
        x = x.flatten(2).transpose(1, 2)
        x = self.transformer(x, positions, self.query_embedding.weight, key_mask)
        boxes = self.fc_reg(F.relu(self.reg_ffn(x))).sigmoid()
        return QueryPredictions(self.fc_cls(x), to_pixels(boxes, images.infos))

    def detect(self, predictions: QueryPredictions, infos: Sequence[ImageInfo]) -> list[Detections]:
        """Returns one detection per query, with its best class."""
        detections = []
        for logits, boxes, info in zip(predictions.logits[-1], predictions.boxes[-1], infos):
            scores, labels = self.config.loss.classification_loss.scores(logits.float()).max(1)
            scores, query = scores.topk(min(self.config.max_detections, len(scores)))
            detections.append(clipped(boxes[query], scores, labels[query], info))
        return detections


class Transformer(nn.Module):
    """Children ``encoder`` and ``decoder``."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(
        self, x: Tensor, positions: Tensor, queries: Tensor, key_mask: Tensor | None
    ) -> Tensor:
        """Cells (B, K, C), their positional encodings and queries (Q, C) -> outputs of all layers
        (S, B, Q, C).

        ``key_mask`` (B, K) is True for cells inside the image; None: all are.
        """
        memory = self.encoder(x, positions, key_mask)
        return self.decoder(queries.expand(len(x), -1, -1), memory, memory + positions, key_mask)


class Encoder(nn.Module):
    """Child ``layers``."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))

    def forward(self, x: Tensor, positions: Tensor, key_mask: Tensor | None) -> Tensor:
        for layer in self.layers:
            x = layer(x, positions, key_mask)
        return x


class EncoderLayer(nn.Module):
    """Self-attention of cells. Children ``attentions``, ``ffns``, ``norms``."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width, dropout = config.channels, config.dropout
        self.attentions = nn.ModuleList([ResidualAttention(width, config.num_heads, dropout)])
        self.ffns = nn.ModuleList([FeedForward(width, config.feedforward_channels, dropout)])
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))

    def forward(self, x: Tensor, positions: Tensor, key_mask: Tensor | None) -> Tensor:
        placed = x + positions
        x = self.norms[0](self.attentions[0](x, placed, placed, x, key_mask))
        return self.norms[1](x + self.ffns[0](x))


class Decoder(nn.Module):
    """Children ``layers`` and ``post_norm``."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.post_norm = nn.LayerNorm(config.channels)

    def forward(
        self, positions: Tensor, memory: Tensor, placed_memory: Tensor, key_mask: Tensor | None
    ) -> Tensor:
        """Starts from queries of zeros, which differ only by their ``positions`` (B, Q, C)."""
        x = torch.zeros_like(positions)
        outputs = []
        for layer in self.layers:
            x = layer(x, positions, memory, placed_memory, key_mask)
            outputs.append(self.post_norm(x))
        return torch.stack(outputs)


class DecoderLayer(nn.Module):
    """Self-attention of queries, then attention to the cells. Children as in the encoder."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width, dropout = config.channels, config.dropout
        self.attentions = nn.ModuleList(
            ResidualAttention(width, config.num_heads, dropout) for _ in range(2)
        )
        self.ffns = nn.ModuleList([FeedForward(width, config.feedforward_channels, dropout)])
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        memory: Tensor,
        placed_memory: Tensor,
        key_mask: Tensor | None,
    ) -> Tensor:
        among, across = self.attentions
        placed = x + positions
        x = self.norms[0](among(x, placed, placed, x))
        x = self.norms[1](across(x, x + positions, placed_memory, memory, key_mask))
        return self.norms[2](x + self.ffns[0](x))
