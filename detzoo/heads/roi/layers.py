"""Layers shared by RoI heads."""

from __future__ import annotations

from torch import Tensor, nn

from detzoo.layers.conv_norm_act import conv_norm_act


def hidden_layers(in_channels: int, channels: int, count: int) -> nn.ModuleList:
    """Builds ``count`` fully connected layers with ``channels`` outputs each."""
    layers = nn.ModuleList()
    for _ in range(count):
        layer = nn.Linear(in_channels, channels)
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
        layers.append(layer)
        in_channels = channels
    return layers


class ResidualConvs(nn.Module):
    """Residual block of two 3x3 convolutions without norms; children ``conv1``, ``conv2``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        for conv in (self.conv1, self.conv2):
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(conv_norm_act(x, self.conv1, None, "relu"))


def residual_convs(channels: int, num_convs: int) -> nn.ModuleList:
    """Builds residual blocks of two convolutions each, ``num_convs`` in total."""
    return nn.ModuleList(ResidualConvs(channels) for _ in range(num_convs // 2))
