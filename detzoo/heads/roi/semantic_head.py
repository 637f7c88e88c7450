"""The semantic segmentation branch of HTC (https://arxiv.org/abs/1901.07518)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import Channels, NonNegativeFloat, NonNegativeInt, PositiveInt, config
from detzoo.heads.roi.layers import residual_convs
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.ops.distributed import average_over_processes
from detzoo.structures.targets import UNLABELED


@config
class SemanticHeadConfig:
    """All levels, resized to the size of level ``fusion_level`` and added, then convolutions.

    Args:
        num_classes: Number of classes of the semantic maps, things and stuff.
        fusion_level: Level whose size all maps are resized to; 0 is the finest.
        num_convs: Number of 3x3 convolutions.
        channels: Output channels of each convolution.
        residual: Whether pairs of convolutions are residual blocks.
        loss_weight: Factor of the loss.
    """

    num_classes: PositiveInt = 183
    fusion_level: NonNegativeInt = 1
    num_convs: PositiveInt = 4
    channels: Channels = 256
    residual: bool = False
    loss_weight: NonNegativeFloat = 0.2

    def build(self, in_channels: Sequence[int]) -> SemanticHead:
        """Builds the module for maps of ``in_channels``."""
        return SemanticHead(self, in_channels)


class SemanticHead(nn.Module):
    """Children ``lateral_convs``, ``convs``, ``conv_embedding``, ``conv_logits``."""

    def __init__(self, config: SemanticHeadConfig, in_channels: Sequence[int]) -> None:
        super().__init__()
        self.config = config
        self.lateral_convs = nn.ModuleList(ConvModule(width, width, 1) for width in in_channels)
        self.convs = nn.ModuleList()
        width = in_channels[config.fusion_level]
        if config.residual:
            self.convs = residual_convs(width, config.num_convs)
        for _ in range(0 if config.residual else config.num_convs):
            self.convs.append(ConvModule(width, config.channels, 3, padding=1))
            width = config.channels
        self.conv_embedding = ConvModule(width, config.channels, 1)
        self.conv_logits = nn.Conv2d(width, config.num_classes, 1)
        nn.init.kaiming_normal_(self.conv_logits.weight, mode="fan_out", nonlinearity="relu")
        assert self.conv_logits.bias is not None
        nn.init.zeros_(self.conv_logits.bias)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Class logits (B, num_classes, H, W) and features (B, channels, H, W) of every cell."""
        level = self.config.fusion_level
        size = features[level].shape[2:]
        x = self.lateral_convs[level](features[level])
        for number, (conv, feature) in enumerate(zip(self.lateral_convs, features)):
            if number != level:
                resized = F.interpolate(feature, size=size, mode="bilinear", align_corners=True)
                x = x + conv(resized)
        for conv in self.convs:
            x = conv(x)
        return self.conv_logits(x), self.conv_embedding(x)

    def loss(self, logits: Tensor, maps: Tensor) -> Tensor:
        """Mean cross entropy over cells; maps (B, H, W) contain classes or ``UNLABELED``."""
        return self.config.loss_weight * pixel_cross_entropy(logits, maps)


def pixel_cross_entropy(logits: Tensor, maps: Tensor) -> Tensor:
    """Mean cross entropy of ``logits`` (B, C, H, W); maps (B, H, W) contain classes or
    ``UNLABELED``.

    Unlabeled cells are included in the mean, as in the published recipes.
    """
    loss = F.cross_entropy(logits.float(), maps.long(), ignore_index=UNLABELED, reduction="sum")
    cells = average_over_processes(loss.new_full((), maps.numel()))
    return loss / cells
