"""MaskFormer's pixel decoders: from the backbone's maps to the features of masks
(https://arxiv.org/abs/2107.06278)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.heads.query.detr import Encoder, TransformerConfig
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.norm import NormConfig


class PixelDecoder(nn.Module):
    """Adds maps from coarse to fine, like an FPN.

    Children ``lateral_convs`` and ``output_convs`` of all maps but the last, ``last_feat_conv`` and
    ``mask_feature``.
    """

    def __init__(self, in_channels: Sequence[int], channels: int, norm: NormConfig) -> None:
        super().__init__()
        self.lateral_convs = nn.ModuleList(
            ConvModule(width, channels, 1, norm=norm, activation="none")
            for width in in_channels[:-1]
        )
        self.output_convs = nn.ModuleList(
            ConvModule(channels, channels, 3, padding=1, norm=norm) for _ in in_channels[:-1]
        )
        self.mask_feature = nn.Conv2d(channels, channels, 3, padding=1)
        self._add_top(in_channels[-1], channels, norm)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def _add_top(self, in_channels: int, channels: int, norm: NormConfig) -> None:
        self.last_feat_conv = ConvModule(in_channels, channels, 3, padding=1, norm=norm)

    def forward(
        self, features: Sequence[Tensor], positions: Tensor, key_mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Maps (B, C_l, H_l, W_l) -> features of masks (B, C, H_0, W_0), and the map (B, C, H, W)
        that queries attend to: the last, as it is.

        ``positions`` (B, H * W, C) encode its cells, of which ``key_mask`` (B, H * W) is True for
        those of the image; None: all are.
        """
        return self.merge(features, self.last_feat_conv(features[-1])), features[-1]

    def merge(self, features: Sequence[Tensor], top: Tensor) -> Tensor:
        """Features of masks (B, C, H_0, W_0) from all maps but the last, and what it became."""
        x = top
        steps = [*zip(features[:-1], self.lateral_convs, self.output_convs)]
        for feature, lateral, output in reversed(steps):
            x = output(lateral(feature, shortcut=F.interpolate(x, feature.shape[2:])))
        return self.mask_feature(x)


class TransformerPixelDecoder(PixelDecoder):
    """The same, with self-attention of the cells of the last map.

    Children ``encoder_in_proj``, ``encoder`` and ``encoder_out_proj`` in place of
    ``last_feat_conv``.
    """

    def __init__(
        self, config: TransformerConfig, in_channels: Sequence[int], norm: NormConfig
    ) -> None:
        super().__init__(in_channels, config.channels, norm)
        self.encoder = Encoder(config)
        for parameter in self.encoder.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def _add_top(self, in_channels: int, channels: int, norm: NormConfig) -> None:
        self.encoder_in_proj = nn.Conv2d(in_channels, channels, 1)
        self.encoder_out_proj = ConvModule(channels, channels, 3, padding=1, norm=norm)

    def forward(
        self, features: Sequence[Tensor], positions: Tensor, key_mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        x = self.encoder_in_proj(features[-1])
        grid = x.shape[2:]
        x = self.encoder(x.flatten(2).transpose(1, 2), positions, key_mask)
        memory = x.transpose(1, 2).unflatten(2, grid)
        return self.merge(features, self.encoder_out_proj(memory)), memory
