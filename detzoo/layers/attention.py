"""The attention and feed-forward layers of transformers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.ops.constants import constant
from detzoo.ops.deformable_attention import deformable_attention


class Attention(nn.Module):
    """Multi-head attention (https://arxiv.org/abs/1706.03762) with PyTorch's parameter names.

    ``in_proj_weight`` (3C, C) contains the projections of queries, keys and values.
    """

    def __init__(self, channels: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.in_proj_weight = nn.Parameter(torch.empty((3 * channels, channels)))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * channels))
        self.out_proj = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(dropout)  # on the attention weights, inside the fused kernel
        for weight in (self.in_proj_weight, self.out_proj.weight):
            nn.init.xavier_uniform_(weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(
        self, queries: Tensor, keys: Tensor, values: Tensor, key_mask: Tensor | None = None
    ) -> Tensor:
        """(B, Q, C), (B, K, C), (B, K, C) -> (B, Q, C).

        ``key_mask`` (B, K), or (B, Q, K) for each query, is True for keys to attend to, the inverse
        of a key padding mask.
        """
        columns = zip(
            (queries, keys, values), self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        )
        q, k, v = (
            F.linear(x, weight, bias).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for x, weight, bias in columns
        )
        mask = key_mask
        if key_mask is not None:
            mask = key_mask[:, None] if key_mask.dim() == 3 else key_mask[:, None, None]
        dropout = self.dropout.p if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, mask, dropout)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class ResidualAttention(nn.Module):
    """Attention with a shortcut. Child ``attn``."""

    def __init__(self, channels: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.attn = Attention(channels, num_heads, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        key_mask: Tensor | None = None,
    ) -> Tensor:
        """Adds to ``x`` (B, Q, C) the attention of ``queries``, which are ``x`` with positional
        encoding.
        """
        return x + self.dropout(self.attn(queries, keys, values, key_mask))


class DeformableAttention(nn.Module):
    """Attention to ``num_points`` predicted sampling locations per level
    (https://arxiv.org/abs/2010.04159).

    Children ``sampling_offsets``, ``attention_weights``, ``value_proj``, ``output_proj``.
    """

    def __init__(
        self, channels: int, num_heads: int, num_levels: int, num_points: int, dropout: float
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.sampling_shape = (num_heads, num_levels, num_points)
        count = num_heads * num_levels * num_points
        self.sampling_offsets = nn.Linear(channels, 2 * count)
        self.attention_weights = nn.Linear(channels, count)
        self.value_proj = nn.Linear(channels, channels)
        self.output_proj = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(dropout)
        self.initialize()

    def initialize(self) -> None:
        """Initializes sampling offsets: one direction per head, with points one cell apart."""
        num_heads, num_levels, num_points = self.sampling_shape
        angle = torch.arange(num_heads) * (2 * math.pi / num_heads)
        direction = torch.stack([angle.cos(), angle.sin()], 1)
        direction = direction / direction.abs().amax(1, keepdim=True)
        step = torch.arange(1, num_points + 1)[:, None]
        offsets = (direction[:, None, None] * step).expand(-1, num_levels, -1, -1)
        self.sampling_offsets.bias.data.copy_(offsets.flatten())
        nn.init.zeros_(self.sampling_offsets.weight)
        for layer in (self.attention_weights, self.value_proj, self.output_proj):
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.attention_weights.weight)
        for layer in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(layer.weight)

    def forward(
        self,
        x: Tensor,
        queries: Tensor,
        memory: Tensor,
        grids: Sequence[tuple[int, int]],
        references: Tensor,
        valid: Tensor | None,
    ) -> Tensor:
        """Adds to ``x`` (B, Q, C) the attention of ``queries``, which are ``x`` with positional
        encoding.

        ``memory`` (B, S, C) contains the cells of maps with ``grids`` (height, width), which are
        zeroed where ``valid`` (B, S) is False. ``references`` are points (B, Q, L, 2) or boxes (B,
        Q,
        L, 4: center, size), in normalized coordinates of each map. Sampling offsets are relative to
        them, in cells around points and in units of the size around boxes.
        """
        values = self.value_proj(memory)
        if valid is not None:
            values = values * valid[..., None]
        offsets = self.sampling_offsets(queries).unflatten(2, (*self.sampling_shape, 2)).float()
        weights = self.attention_weights(queries).unflatten(2, (self.num_heads, -1)).float()
        references = references[:, :, None, :, None]  # (B, Q, 1, L, 1, 2 or 4)
        if references.shape[-1] == 2:
            widths_first = tuple((width, height) for height, width in grids)
            sizes = constant(widths_first, offsets.device, offsets.dtype)
            offsets = offsets / sizes[:, None]
        else:
            offsets = offsets * references[..., 2:] / (2 * self.sampling_shape[2])
        found = deformable_attention(
            values.unflatten(2, (self.num_heads, -1)).float(),
            grids,
            references[..., :2] + offsets,
            weights.softmax(3).unflatten(3, self.sampling_shape[1:]),
        )
        return x + self.dropout(self.output_proj(found.to(x.dtype)))


class FeedForward(nn.Module):
    """Two fully connected layers, applied to each position. Child ``layers``."""

    def __init__(self, channels: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        first = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(inplace=True), nn.Dropout(dropout)
        )
        self.layers = nn.Sequential(first, nn.Linear(hidden, channels), nn.Dropout(dropout))

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C), without the shortcut."""
        return self.layers(x)
