"""Layers that RoI heads share."""

from __future__ import annotations

from torch import nn


def hidden_layers(in_channels: int, channels: int, count: int) -> nn.ModuleList:
    """``count`` fully connected layers, of ``channels`` outputs each."""
    layers = nn.ModuleList()
    for _ in range(count):
        layer = nn.Linear(in_channels, channels)
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
        layers.append(layer)
        in_channels = channels
    return layers
