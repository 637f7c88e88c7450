"""Mask2Former's pixel decoder, with deformable attention (https://arxiv.org/abs/2112.01527)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import PositiveInt, UnitFloat, config
from detzoo.errors import ConfigError
from detzoo.heads.query.deformable_transformer import (
    DeformableEncoderLayer,
    DeformableLayers,
    LayerStack,
    Pyramid,
)
from detzoo.layers.attention import DeformableAttention
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.norm import GroupNormConfig, NormConfig
from detzoo.layers.positional_encoding import SinePositions, ValidCells


@config
class DeformablePixelDecoderConfig(DeformableLayers):
    """Deformable self-attention of the coarse maps' cells, whose finest map is added to the fine
    maps that are left, like in an FPN.

    Args:
        num_levels: Number of coarse maps: those that queries attend to.
        norm: Norm after each convolution.
    """

    num_levels: PositiveInt = 3
    norm: NormConfig = GroupNormConfig(groups=32)
    dropout: UnitFloat = 0.0

    def build(self, in_channels: Sequence[int], positions: SinePositions) -> DeformablePixelDecoder:
        """Builds the module for maps of ``in_channels``, whose cells ``positions`` encode."""
        if len(in_channels) <= self.num_levels:
            raise ConfigError(
                f"model.panoptic_head.pixel_decoder.num_levels: {self.num_levels} is not fewer "
                f"than the backbone's {len(in_channels)} maps"
            )
        return DeformablePixelDecoder(self, in_channels, positions)


class DeformablePixelDecoder(nn.Module):
    """Children ``input_convs``, ``encoder`` and ``level_encoding`` of the coarse maps, from coarse
    to fine; ``lateral_convs`` and ``output_convs`` of the others; ``mask_feature``.

    Padding is not masked.
    """

    def __init__(
        self,
        config: DeformablePixelDecoderConfig,
        in_channels: Sequence[int],
        positions: SinePositions,
    ) -> None:
        super().__init__()
        self.positions = positions
        channels, num_levels, norm = config.channels, config.num_levels, config.norm
        coarse, fine = in_channels[: -num_levels - 1 : -1], in_channels[:-num_levels]
        self.input_convs = nn.ModuleList(
            ConvModule(width, channels, 1, bias=True, norm=norm, activation="none")
            for width in coarse
        )
        self.encoder = LayerStack(
            DeformableEncoderLayer(config, num_levels) for _ in range(config.encoder_layers)
        )
        self.level_encoding = nn.Embedding(num_levels, channels)
        self.lateral_convs = nn.ModuleList(
            ConvModule(width, channels, 1, norm=norm, activation="none") for width in fine
        )
        self.output_convs = nn.ModuleList(
            ConvModule(channels, channels, 3, padding=1, norm=norm) for _ in fine
        )
        self.mask_feature = nn.Conv2d(channels, channels, 1)
        self._initialize()

    def _initialize(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for conv in self.input_convs:
            nn.init.xavier_uniform_(conv.get_parameter("conv.weight"))
        for parameter in self.encoder.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_normal_(parameter)
        for module in self.encoder.modules():
            if isinstance(module, DeformableAttention):
                module.initialize()

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Maps (B, C_l, H_l, W_l) -> features of masks (B, C, H_0, W_0), and the coarse maps (B, C,
        H_l, W_l), from coarse to fine.
        """
        num_levels = len(self.input_convs)
        maps = [conv(x) for conv, x in zip(self.input_convs, reversed(features))]
        cells = [ValidCells.all_of((x.shape[2], x.shape[3]), x.device) for x in maps]
        pyramid = Pyramid.of(cells)
        places = [
            self.positions(level, own.shape[0]) + own
            for level, own in zip(cells, self.level_encoding.weight)
        ]
        x = torch.cat([one.flatten(2).transpose(1, 2) for one in maps], 1)
        at = torch.cat(places, 1).to(x.dtype)
        references = pyramid.on_levels(pyramid.centers())
        for layer in self.encoder.layers:
            x = layer(x, at, pyramid, references)
        sizes = [height * width for height, width in pyramid.grids]
        memories = [
            part.transpose(1, 2).unflatten(2, grid)
            for part, grid in zip(x.split(sizes, 1), pyramid.grids)
        ]
        x = memories[-1]
        steps = [*zip(features[:-num_levels], self.lateral_convs, self.output_convs)]
        for feature, lateral, output in reversed(steps):
            coarse = F.interpolate(x, feature.shape[2:], mode="bilinear")
            x = output(lateral(feature, shortcut=coarse))
        return self.mask_feature(x), memories
