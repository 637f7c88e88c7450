"""VGG-16 as used by SSD (https://arxiv.org/abs/1409.1556, https://arxiv.org/abs/1512.02325)."""

from __future__ import annotations

import dataclasses

from torch import Tensor, nn

from detzoo.backbones.base import Backbone, BackboneConfig
from detzoo.config import config

# Channels of the 3x3 convolutions between pooling layers.
BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
DENSE_CHANNELS = 1024


@config
class SSDVGGConfig(BackboneConfig):
    """VGG-16 with its fully connected layers converted to convolutions. Returns ``conv4_3`` and
    ``fc7``.
    """

    @property
    def architecture(self) -> str:
        return "vgg16"

    def build(self) -> SSDVGG:
        return SSDVGG()

    def from_scratch(self) -> SSDVGGConfig:
        return dataclasses.replace(self, pretrained=None)


class SSDVGG(Backbone):
    """Child ``features``: all layers in sequence."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for number, widths in enumerate(BLOCKS):
            if number > 0:
                # Odd sizes are rounded up: 75 cells become 38.
                layers.append(nn.MaxPool2d(2, stride=2, ceil_mode=True))
            for width in widths:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
            if number == 3:
                self.fine_end = len(layers)
        layers += [
            nn.MaxPool2d(3, stride=1, padding=1),
            nn.Conv2d(channels, DENSE_CHANNELS, 3, padding=6, dilation=6),
            nn.ReLU(inplace=True),
            nn.Conv2d(DENSE_CHANNELS, DENSE_CHANNELS, 1),
            nn.ReLU(inplace=True),
        ]
        self.features = nn.Sequential(*layers)
        self.out_channels = (512, DENSE_CHANNELS)
        self.out_strides = (8, 16)
        for layer in layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        fine = self.features[: self.fine_end](x)
        return fine, self.features[self.fine_end :](fine)

    def frozen_modules(self) -> list[nn.Module]:
        return []
