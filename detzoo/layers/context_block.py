"""Global context block (GCNet, https://arxiv.org/abs/1904.11492)."""

from __future__ import annotations

from torch import Tensor, nn


class ContextBlock(nn.Module):
    """Adds global context, pooled from the whole map by attention, to every cell.

    Children ``conv_mask``, which scores the cells, and ``channel_add_conv``, a bottleneck with
    ``ratio`` times the channels that transforms the context. Initially the identity.
    """

    def __init__(self, channels: int, ratio: float) -> None:
        super().__init__()
        width = int(channels * ratio)
        self.conv_mask = nn.Conv2d(channels, 1, 1)
        last = nn.Conv2d(width, channels, 1)
        self.channel_add_conv = nn.Sequential(
            nn.Conv2d(channels, width, 1),
            nn.LayerNorm([width, 1, 1]),
            nn.ReLU(inplace=True),
            last,
        )
        nn.init.kaiming_normal_(self.conv_mask.weight, nonlinearity="relu")
        nn.init.zeros_(last.weight)
        for conv in (self.conv_mask, last):
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        attention = self.conv_mask(x).flatten(2).softmax(2)  # (B, 1, H * W)
        context = x.flatten(2) @ attention.transpose(1, 2)  # (B, C, 1)
        return x + self.channel_add_conv(context[..., None])
