"""The global context head of SCNet (https://arxiv.org/abs/2012.10150)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import NonNegativeFloat, PositiveInt, config
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.roi.layers import residual_convs
from detzoo.structures import Targets


@config
class ContextHeadConfig:
    """Predicts which classes are in an image from its coarsest map.

    Args:
        num_convs: Number of 3x3 convolutions, two in each residual block.
        loss_weight: Weight of the loss.
    """

    num_convs: PositiveInt = 4
    loss_weight: NonNegativeFloat = 3.0

    def build(self, in_channels: Sequence[int], num_classes: int) -> ContextHead:
        """Builds the module for maps of ``in_channels``."""
        return ContextHead(self, in_channels[-1], num_classes)


class ContextHead(nn.Module):
    """Children ``convs``, ``fc``."""

    def __init__(self, config: ContextHeadConfig, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.config = config
        self.convs = residual_convs(in_channels, config.num_convs)
        self.fc = nn.Linear(in_channels, num_classes)
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Class logits (B, num_classes) and features (B, C, 1, 1) of each image."""
        x = features[-1]
        for conv in self.convs:
            x = conv(x)
        x = F.adaptive_avg_pool2d(x, 1)
        return self.fc(x.flatten(1)), x

    def loss(self, logits: Tensor, targets: Sequence[Targets]) -> Tensor:
        """Mean cross entropy over images and classes."""
        logits = logits.float()
        wanted = logits.new_zeros(logits.shape)
        for row, target in zip(wanted, targets):
            row[target.labels] = 1.0
        return self.config.loss_weight * F.binary_cross_entropy_with_logits(logits, wanted)

    def class_parameters(self) -> dict[str, ClassRows]:
        return {"fc.weight": ClassRows(), "fc.bias": ClassRows()}
