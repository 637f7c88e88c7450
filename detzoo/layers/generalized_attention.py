"""Attention by relative position (generalized attention, https://arxiv.org/abs/1904.05873)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

WAVE_LENGTH = 1000.0


class GeneralizedAttention(nn.Module):
    """Lets every cell attend to others by their relative position, given its own content.

    Of the four terms that the paper compares, this is the one that GRoIE uses (``0100``): the
    energy between two cells is the product of the query's content with an embedding of the offset
    to the key, separately for rows and columns. Keys are every ``key_stride``-th row and column.
    Maps must be square.

    Children ``query_conv``, ``value_conv``, ``appr_geom_fc_x``, ``appr_geom_fc_y``, ``proj_conv``
    and the weight ``gamma`` of the residual, which starts at zero.
    """

    def __init__(self, channels: int, *, num_heads: int, key_stride: int) -> None:
        super().__init__()
        self.num_heads, self.key_stride = num_heads, key_stride
        self.head_channels = channels // num_heads
        width = self.head_channels * num_heads
        self.query_conv = nn.Conv2d(channels, width, 1, bias=False)
        self.value_conv = nn.Conv2d(channels, width, 1, bias=False)
        self.num_waves = channels // 4
        self.appr_geom_fc_x = nn.Linear(2 * self.num_waves, width, bias=False)
        self.appr_geom_fc_y = nn.Linear(2 * self.num_waves, width, bias=False)
        self.proj_conv = nn.Conv2d(width, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))
        projections = (self.query_conv, self.value_conv, self.proj_conv)
        for layer in (*projections, self.appr_geom_fc_x, self.appr_geom_fc_y):
            nn.init.kaiming_uniform_(layer.weight, a=1)
        assert self.proj_conv.bias is not None
        nn.init.zeros_(self.proj_conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) -> (B, C, S, S)."""
        heads = (self.num_heads, self.head_channels)
        queries = self.query_conv(x).unflatten(1, heads)  # (B, heads, D, S, S)
        values = self.value_conv(x[:, :, :: self.key_stride, :: self.key_stride])
        waves = self._waves(x)
        columns = self.appr_geom_fc_x(waves).unflatten(2, heads) / math.sqrt(2)  # (S, K, heads, D)
        rows = self.appr_geom_fc_y(waves).unflatten(2, heads) / math.sqrt(2)
        across = torch.einsum("bndyx,xknd->bnyxk", queries, columns)
        # The published models were trained with transposed queries along y: the cell at row y and
        # column x uses the query of row x and column y.
        down = torch.einsum("bndxy,yknd->bnyxk", queries, rows)
        energy = down[..., :, None] + across[..., None, :]  # (B, heads, S, S, K, K)
        attention = energy.flatten(4).softmax(4).flatten(2, 3)  # (B, heads, S * S, K * K)
        gathered = values.unflatten(1, heads).flatten(3) @ attention.transpose(2, 3)
        gathered = gathered.flatten(1, 2).unflatten(2, x.shape[2:])
        return x + self.gamma * self.proj_conv(gathered)

    def _waves(self, x: Tensor) -> Tensor:
        """Sines and cosines of the offsets from cells to keys along one axis, (S, K, 2 W)."""
        cells = torch.arange(x.shape[3], device=x.device, dtype=x.dtype)
        offsets = cells[:, None] - cells[:: self.key_stride]
        waves = torch.arange(self.num_waves, device=x.device, dtype=x.dtype)
        angles = offsets[..., None] / WAVE_LENGTH ** (waves / self.num_waves)
        return torch.cat([angles.sin(), angles.cos()], 2)
