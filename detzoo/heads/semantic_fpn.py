"""The semantic head of Panoptic FPN (https://arxiv.org/abs/1901.02446)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import Channels, NonNegativeFloat, PositiveInt, config
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.roi.semantic_head import pixel_cross_entropy
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.norm import GroupNormConfig, NormConfig
from detzoo.structures.targets import UNLABELED


@config
class SemanticFPNHeadConfig:
    """Every level, brought to the size of the finest by convolutions and upsampling, and their sum.

    Its classes are those of stuff, and one for all things together.

    Args:
        num_levels: Number of levels used, from the finest on.
        channels: Output channels of each convolution.
        norm: Normalization after each convolution.
        loss_weight: Factor of the loss.
    """

    num_levels: PositiveInt = 4
    channels: Channels = 128
    norm: NormConfig = GroupNormConfig(groups=32)
    loss_weight: NonNegativeFloat = 0.5

    def build(self, in_channels: Sequence[int], num_things: int, num_stuff: int) -> SemanticFPNHead:
        """Builds the module for maps of ``in_channels``."""
        return SemanticFPNHead(self, in_channels, num_things, num_stuff)


class _UpsampledConvs(nn.Module):
    """Child ``conv``: convolutions, each but the finest level's only one followed by upsampling."""

    def __init__(self, in_channels: int, config: SemanticFPNHeadConfig, count: int) -> None:
        super().__init__()
        self.conv = nn.ModuleList(
            ConvModule(
                in_channels if k == 0 else config.channels,
                config.channels,
                3,
                padding=1,
                norm=config.norm,
            )
            for k in range(count)
        )

    def forward(self, x: Tensor, sizes: Sequence[torch.Size]) -> Tensor:
        """(B, C, h, w) -> (B, channels, H, W), through the ``sizes`` of finer levels."""
        if not sizes:
            return self.conv[0](x)
        for conv, size in zip(self.conv, sizes, strict=True):
            x = F.interpolate(conv(x), size=size, mode="bilinear")
        return x


class SemanticFPNHead(nn.Module):
    """Children ``conv_upsample_layers`` and ``conv_logits``."""

    def __init__(
        self,
        config: SemanticFPNHeadConfig,
        in_channels: Sequence[int],
        num_things: int,
        num_stuff: int,
    ) -> None:
        super().__init__()
        self.config = config
        self.num_things, self.num_stuff = num_things, num_stuff
        self.conv_upsample_layers = nn.ModuleList(
            _UpsampledConvs(in_channels[level], config, max(level, 1))
            for level in range(config.num_levels)
        )
        self.conv_logits = nn.Conv2d(config.channels, num_stuff + 1, 1)
        nn.init.normal_(self.conv_logits.weight, std=0.01)
        assert self.conv_logits.bias is not None
        nn.init.zeros_(self.conv_logits.bias)

    def class_parameters(self) -> dict[str, ClassRows]:
        """The rows of the classes of stuff; the last is that of all things."""
        rows = ClassRows(shared=1, of="stuff")
        return {"conv_logits.weight": rows, "conv_logits.bias": rows}

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Logits (B, S + 1, H, W) of stuff, and of things in the last channel, at the finest
        level."""
        sizes = [feature.shape[2:] for feature in features]
        total = self.conv_upsample_layers[0](features[0], ())
        for level in range(1, self.config.num_levels):
            layers = self.conv_upsample_layers[level]
            total = total + layers(features[level], sizes[level - 1 :: -1])
        return self.conv_logits(total)

    def loss(self, logits: Tensor, maps: Tensor) -> Tensor:
        """Mean cross entropy; ``maps`` (B, h, w) have classes of things, then of stuff, or
        ``UNLABELED``. Logits are resized to them."""
        if logits.shape[2:] != maps.shape[1:]:
            logits = F.interpolate(logits, size=maps.shape[1:], mode="bilinear")
        labels = maps.long()
        # Stuff comes first here, and things are one class.
        wanted = torch.where(labels < self.num_things, self.num_stuff, labels - self.num_things)
        wanted = wanted.masked_fill(labels == UNLABELED, UNLABELED)
        return self.config.loss_weight * pixel_cross_entropy(logits, wanted)
