"""The point head of PointRend (https://arxiv.org/abs/1912.08193)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import Channels, NonNegativeFloat, NonNegativeInt, PositiveInt, UnitFloat, config
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.roi.base import RegionHead
from detzoo.heads.roi.mask_head import own_masks
from detzoo.ops.distributed import average_over_processes, num_processes
from detzoo.ops.points import draw_uncertain_points
from detzoo.structures import Losses


@config
class PointHeadConfig:
    """Layers on single points: their features, with coarse mask logits as an input of every layer.

    In training, some of the points are the most uncertain of many random points; the others are
    random. In inference, the coarse mask is upsampled 2x step by step, and each time the most
    uncertain points are predicted again.

    Args:
        num_fcs: Number of layers before the last.
        channels: Output channels of each of them.
        loss_weight: Factor of the loss.
        num_points: Number of points per region that are trained on.
        oversampling: Ratio of random points from which the most uncertain are selected.
        uncertain_part: Fraction of the points that are the most uncertain.
        num_subdivisions: Number of 2x upsampling steps in inference.
        points_per_subdivision: Number of points predicted again in each step.
    """

    num_fcs: NonNegativeInt = 3
    channels: Channels = 256
    loss_weight: NonNegativeFloat = 1.0
    num_points: PositiveInt = 196
    oversampling: PositiveInt = 3
    uncertain_part: UnitFloat = 0.75
    num_subdivisions: NonNegativeInt = 5
    points_per_subdivision: PositiveInt = 784

    def build(self, in_channels: int, num_classes: int) -> PointHead:
        """Builds the module for points of ``in_channels``."""
        return PointHead(self, in_channels, num_classes)


class PointHead(RegionHead):
    """Children ``fcs``, ``fc_logits``."""

    def __init__(self, config: PointHeadConfig, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.config = config
        self.in_channels = in_channels
        self.fcs = nn.ModuleList()
        width = in_channels
        for _ in range(config.num_fcs):
            self.fcs.append(PointLayer(width + num_classes, config.channels))
            width = config.channels
        self.fc_logits = nn.Conv1d(width + num_classes, num_classes, 1)
        nn.init.normal_(self.fc_logits.weight, std=0.001)
        assert self.fc_logits.bias is not None
        nn.init.zeros_(self.fc_logits.bias)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Features (R, C, P) and coarse logits (R, K, P) of points -> logits (R, K, P)."""
        x = fine
        for layer in self.fcs:
            x = layer(torch.cat([x, coarse], 1))
        return self.fc_logits(torch.cat([x, coarse], 1))

    def class_parameters(self) -> dict[str, ClassRows]:
        channels = self.config.channels
        rows = {}
        for number in range(len(self.fcs)):
            width = self.in_channels if number == 0 else channels
            inputs = ClassRows(leading=width)
            rows[f"fcs.{number}.conv.weight"] = ClassRows(width=0, leading=channels, inputs=inputs)
        rows["fc_logits.weight"] = ClassRows(inputs=ClassRows(leading=channels))
        rows["fc_logits.bias"] = ClassRows()
        return rows

    def loss(self, logits: Tensor, labels: Tensor, targets: Tensor) -> Losses:
        """Computes the cross entropy of the points' own classes.

        Logits (R, K, P), labels (R,), targets (R, P) from 0 to 1.
        """
        own = own_masks(logits, labels).float()
        loss = F.binary_cross_entropy_with_logits(own, targets, reduction="sum")
        # Without regions in any process, the sum is zero, whatever the divisor.
        count = average_over_processes(targets.new_full((), len(targets)))
        points = count.clamp(min=1 / num_processes()) * targets.shape[1]
        return Losses(loss_point=self.config.loss_weight * loss / points)

    def draw_points(self, coarse: Tensor, labels: Tensor) -> Tensor:
        """Samples points to train on, (R, P, 2) in normalized coordinates of regions with coarse
        logits (R, K, m, m).
        """
        config = self.config
        return draw_uncertain_points(
            own_masks(coarse.detach().float(), labels),
            config.num_points,
            oversampling=config.oversampling,
            uncertain_part=config.uncertain_part,
        )


class PointLayer(nn.Module):
    """A layer shared by all points: child ``conv``."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(in_channels, out_channels, 1)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        assert self.conv.bias is not None
        nn.init.zeros_(self.conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x), inplace=True)
