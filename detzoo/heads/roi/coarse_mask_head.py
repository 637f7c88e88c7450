"""The coarse mask head of PointRend (https://arxiv.org/abs/1912.08193)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import Channels, NonNegativeFloat, NonNegativeInt, UnitFloat, config
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.roi.base import RegionMaskHead
from detzoo.heads.roi.mask_head import mask_loss
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.structures import Losses


@config
class CoarseMaskHeadConfig:
    """A convolution with stride 2, then fully connected layers.

    Args:
        channels: Output channels of the convolution.
        num_fcs: Number of fully connected layers before the last.
        fc_channels: Output channels of each of them.
        loss_weight: Factor of the mask loss.
        threshold: Probability at or above which a pixel belongs to the object.
    """

    channels: Channels = 256
    num_fcs: NonNegativeInt = 2
    fc_channels: Channels = 1024
    loss_weight: NonNegativeFloat = 1.0
    threshold: UnitFloat = 0.5

    def build(self, in_channels: int, region_size: int, num_classes: int) -> CoarseMaskHead:
        """Builds the module for regions of (in_channels, region_size, region_size)."""
        return CoarseMaskHead(self, in_channels, region_size, num_classes)


class CoarseMaskHead(RegionMaskHead):
    """Children ``downsample_conv``, ``fcs``, ``fc_logits``."""

    def __init__(
        self, config: CoarseMaskHeadConfig, in_channels: int, region_size: int, num_classes: int
    ) -> None:
        super().__init__()
        self.config = config
        self.size = region_size // 2
        self.downsample_conv = ConvModule(in_channels, config.channels, 2, stride=2)
        nn.init.xavier_normal_(self.downsample_conv.conv.weight)
        width = config.channels * self.size**2
        self.fcs = nn.ModuleList()
        for _ in range(config.num_fcs):
            layer = nn.Linear(width, config.fc_channels)
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
            self.fcs.append(layer)
            width = config.fc_channels
        self.fc_logits = nn.Linear(width, num_classes * self.size**2)
        nn.init.constant_(self.fc_logits.weight, 0.001)
        nn.init.zeros_(self.fc_logits.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Regions (R, C, h, w) -> mask logits (R, num_classes, h / 2, w / 2)."""
        x = self.downsample_conv(x).flatten(1)
        for layer in self.fcs:
            x = F.relu(layer(x), inplace=True)
        return self.fc_logits(x).unflatten(1, (-1, self.size, self.size))

    def class_parameters(self) -> dict[str, ClassRows]:
        rows = ClassRows(width=self.size**2)
        return {"fc_logits.weight": rows, "fc_logits.bias": rows}

    def loss(self, logits: Tensor, labels: Tensor, targets: Tensor) -> Losses:
        return Losses(loss_mask=self.config.loss_weight * mask_loss(logits, labels, targets))
