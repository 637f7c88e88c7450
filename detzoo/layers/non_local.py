"""Non-local block (https://arxiv.org/abs/1711.07971)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.layers.conv_norm_act import ConvModule


class NonLocal(nn.Module):
    """Adds to every cell the mean over all cells, weighted by similarity (embedded Gaussian).

    Children ``theta`` and ``phi`` (the embeddings compared), ``g`` (the values averaged) and
    ``conv_out``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.theta = ConvModule(channels, channels, 1, activation="none")
        self.phi = ConvModule(channels, channels, 1, activation="none")
        self.g = ConvModule(channels, channels, 1, activation="none")
        self.conv_out = ConvModule(channels, channels, 1, activation="none")

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        query, key, value = (
            embed(x).flatten(2).transpose(1, 2)[:, None] for embed in (self.theta, self.phi, self.g)
        )  # (B, one head, H * W, C)
        mean = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        return x + self.conv_out(mean[:, 0].transpose(1, 2).reshape(x.shape))
