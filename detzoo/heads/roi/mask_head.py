"""Masks of regions (Mask R-CNN, https://arxiv.org/abs/1703.06870)."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import config
from detzoo.heads.class_rows import ClassRows
from detzoo.layers.conv import ConvModule
from detzoo.ops.distributed import average_over_processes, num_processes


@config
class MaskHeadConfig:
    """Convolutions, an upsampling to twice the size, and one mask per class."""

    num_convs: int = 4
    channels: int = 256
    loss_weight: float = 1.0
    # Probability from which a pixel belongs to the object.
    threshold: float = 0.5

    def build(self, in_channels: int, num_classes: int) -> MaskHead:
        """The module for regions of ``in_channels``."""
        return MaskHead(self, in_channels, num_classes)


class MaskHead(nn.Module):
    """Children ``convs``, ``upsample``, ``conv_logits``."""

    def __init__(self, config: MaskHeadConfig, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.config = config
        widths = [in_channels, *[config.channels] * config.num_convs]
        self.convs = nn.ModuleList(
            ConvModule(a, b, 3, padding=1) for a, b in itertools.pairwise(widths)
        )
        self.upsample = nn.ConvTranspose2d(widths[-1], config.channels, 2, stride=2)
        self.conv_logits = nn.Conv2d(config.channels, num_classes, 1)
        nn.init.kaiming_normal_(self.upsample.weight, mode="fan_out", nonlinearity="relu")
        # Small, so that a fresh head starts from even odds however few classes there are.
        nn.init.normal_(self.conv_logits.weight, std=0.01)
        for layer in (self.upsample, self.conv_logits):
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Regions (R, C, h, w) -> mask logits (R, num_classes, 2h, 2w)."""
        for conv in self.convs:
            x = conv(x)
        return self.conv_logits(F.relu(self.upsample(x), inplace=True))

    def class_parameters(self) -> dict[str, ClassRows]:
        return {"conv_logits.weight": ClassRows(), "conv_logits.bias": ClassRows()}

    def loss(self, logits: Tensor, labels: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Cross entropy of the mask of each region's own class; targets (R, m, m) of 0 and 1."""
        own = self._own(logits, labels).float()
        loss = F.binary_cross_entropy_with_logits(own, targets.to(own), reduction="sum")
        count = average_over_processes(labels.new_tensor(float(len(labels)), dtype=torch.float32))
        # Without a positive region anywhere the sum is zero, whatever it is divided by.
        pixels = count.clamp(min=1 / num_processes()) * own.shape[1] * own.shape[2]
        return {"loss_mask": self.config.loss_weight * loss / pixels}

    def probabilities(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Each region's mask of its class, (R, m, m)."""
        return self._own(logits, labels).float().sigmoid()

    def _own(self, logits: Tensor, labels: Tensor) -> Tensor:
        return logits[torch.arange(len(labels), device=labels.device), labels]
