"""Attention between the cells of a map (generalized attention, https://arxiv.org/abs/1904.05873)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from detzoo.config import NonEmpty, PositiveInt, config

WAVE_LENGTH = 1000.0

Term = Literal["query_key", "query_position", "key", "position"]


@config
class GeneralizedAttentionConfig:
    """Attention by content and by relative position.

    Args:
        terms: What the energy between two cells is the sum of: "query_key", the product of their
            contents; "query_position", of the query's content and their relative position; "key"
            and "position", which do not depend on the query's content.
        num_heads: Number of heads.
        key_stride: Keys are every so manyth row and column.
    """

    terms: NonEmpty[Term] = ("query_key", "query_position", "key", "position")
    num_heads: PositiveInt = 8
    key_stride: PositiveInt = 2

    def build(self, channels: int) -> GeneralizedAttention:
        return GeneralizedAttention(self, channels)


class GeneralizedAttention(nn.Module):
    """Lets every cell attend to others, as ``config`` says.

    Children ``query_conv``, ``key_conv``, ``value_conv``, ``appr_geom_fc_x``, ``appr_geom_fc_y``,
    ``proj_conv``; parameters ``appr_bias``, ``geom_bias``, of the terms that need them; and the
    weight ``gamma`` of the residual, which starts at zero.
    """

    def __init__(self, config: GeneralizedAttentionConfig, channels: int) -> None:
        super().__init__()
        self.config, self.terms = config, set(config.terms)
        self.head_channels = channels // config.num_heads
        self.num_waves = channels // 4
        width = self.head_channels * config.num_heads
        if self.terms & {"query_key", "query_position"}:
            self.query_conv = nn.Conv2d(channels, width, 1, bias=False)
        if self.terms & {"query_key", "key"}:
            self.key_conv = nn.Conv2d(channels, width, 1, bias=False)
        self.value_conv = nn.Conv2d(channels, width, 1, bias=False)
        if self.terms & {"query_position", "position"}:
            self.appr_geom_fc_x = nn.Linear(2 * self.num_waves, width, bias=False)
            self.appr_geom_fc_y = nn.Linear(2 * self.num_waves, width, bias=False)
        bound = 1 / math.sqrt(2 * self.head_channels)
        if "key" in self.terms:
            self.appr_bias = nn.Parameter(torch.empty(width).uniform_(-bound, bound))
        if "position" in self.terms:
            self.geom_bias = nn.Parameter(torch.empty(width).uniform_(-bound, bound))
        self.proj_conv = nn.Conv2d(width, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))
        for layer in self.children():
            assert isinstance(layer, nn.Conv2d | nn.Linear)
            nn.init.kaiming_uniform_(layer.weight, a=1)
        assert self.proj_conv.bias is not None
        nn.init.zeros_(self.proj_conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        sampled = x[:, :, :: self.config.key_stride, :: self.config.key_stride]
        values = self._heads(self.value_conv(sampled)).flatten(3)  # (B, heads, D, K)
        attention = self._energy(x, sampled).softmax(-1)  # (B, heads, H * W or 1, K)
        gathered = (values @ attention.transpose(2, 3)).flatten(1, 2)
        # Where nothing depends on the query, all cells gather the same.
        size = x.shape[2:] if gathered.shape[2] > 1 else (1, 1)
        return x + self.gamma * self.proj_conv(gathered.unflatten(2, size))

    def _energy(self, x: Tensor, sampled: Tensor) -> Tensor:
        """The energy of every cell with each of K keys (B, heads, H * W, K); (B, heads, 1, K) where
        all cells have the same."""
        queries = self._heads(self.query_conv(x)) if hasattr(self, "query_conv") else None
        energy = x.new_zeros(())
        if self.terms & {"query_key", "key"}:
            keys = self._heads(self.key_conv(sampled)).flatten(3)
            asked = self._asked(queries, "query_key", "key").flatten(3)  # (B, heads, D, Q)
            energy = asked.transpose(2, 3) @ keys
        if self.terms & {"query_position", "position"}:
            energy = energy + self._by_position(queries, x, sampled).flatten(4).flatten(2, 3)
        return energy

    def _by_position(self, queries: Tensor | None, x: Tensor, sampled: Tensor) -> Tensor:
        """The energy of relative positions, (B, heads, H, W, key rows, key columns)."""
        rows = self._embedded(self.appr_geom_fc_y, x, x.shape[2], sampled.shape[2])
        columns = self._embedded(self.appr_geom_fc_x, x, x.shape[3], sampled.shape[3])
        asked = self._asked(queries, "query_position", "position").expand(
            len(x), -1, -1, x.shape[2], x.shape[3]
        )
        across = torch.einsum("bndyx,xknd->bnyxk", asked, columns)
        if "position" in self.terms:
            down = torch.einsum("bndyx,yknd->bnyxk", asked, rows)
        else:
            # The published models of this term alone were trained with transposed queries along y,
            # on square maps: the cell at row y and column x uses the query of row x and column y.
            down = torch.einsum("bndxy,yknd->bnyxk", asked, rows)
        return down[..., :, None] + across[..., None, :]

    def _asked(self, queries: Tensor | None, of_query: Term, of_all: Term) -> Tensor:
        """What cells are compared with (B or 1, heads, D, H or 1, W or 1): the query's content, and
        the same for all cells."""
        shared = None
        if of_all in self.terms:
            bias = self.appr_bias if of_all == "key" else self.geom_bias
            shared = self._heads(bias[None, :, None, None])
        if queries is None or of_query not in self.terms:
            assert shared is not None
            return shared
        return queries if shared is None else queries + shared

    def _heads(self, x: Tensor) -> Tensor:
        """(B, heads * D, H, W) -> (B, heads, D, H, W)."""
        return x.unflatten(1, (self.config.num_heads, self.head_channels))

    def _embedded(self, layer: nn.Module, x: Tensor, cells: int, keys: int) -> Tensor:
        """The embedded offsets from cells to keys along one axis, (cells, keys, heads, D)."""
        positions = torch.arange(cells, device=x.device, dtype=x.dtype)
        offsets = positions[:, None] - positions[:: self.config.key_stride][:keys]
        waves = torch.arange(self.num_waves, device=x.device, dtype=x.dtype)
        angles = offsets[..., None] / WAVE_LENGTH ** (waves / self.num_waves)
        embedded: Tensor = layer(torch.cat([angles.sin(), angles.cos()], 2))
        return embedded.unflatten(2, (self.config.num_heads, self.head_channels)) / math.sqrt(2)
