"""Boxes as grids of points (Grid R-CNN, https://arxiv.org/abs/1811.12030).

Uses the smaller heatmaps of Grid R-CNN Plus (https://arxiv.org/abs/1906.05688).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import Channels, NonNegativeFloat, NonNegativeInt, PositiveInt, Range, config
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.module_list import ModuleList
from detzoo.layers.norm import GroupNormConfig, NormConfig
from detzoo.ops.distributed import average_over_processes, num_processes
from detzoo.structures import Losses

Transitions = ModuleList[ModuleList[nn.Sequential]]


@config
class GridHeadConfig:
    """Predicts a heatmap for each of ``grid_size`` x ``grid_size`` points of a box.

    Args:
        grid_size: Points along each side of a box.
        num_convs: Number of 3x3 convolutions; the first has stride 2.
        point_channels: Channels per point.
        norm: Norm after each convolution.
        loss_weight: Factor of the loss.
        radius: Radius in heatmap cells around a point that is positive in training.
    """

    grid_size: Annotated[int, Range(2)] = 3
    num_convs: PositiveInt = 8
    point_channels: Channels = 64
    norm: NormConfig = GroupNormConfig(groups=36)
    loss_weight: NonNegativeFloat = 15.0
    radius: NonNegativeInt = 1

    def build(self, in_channels: int, region_size: int) -> GridHead:
        """Builds the module for regions of (in_channels, region_size, region_size)."""
        return GridHead(self, in_channels, region_size)


class GridHead(nn.Module):
    """Children ``convs``, ``forder_trans``, ``sorder_trans``, ``deconv1``, ``norm1``, ``deconv2``.

    Points are numbered in column-major order. The full map covers twice the region, with four cells
    per cell of the region's features; the window of each point is the part, half as wide, in which
    the point can be.
    """

    corners: Tensor

    def __init__(self, config: GridHeadConfig, in_channels: int, region_size: int) -> None:
        super().__init__()
        self.config = config
        size = config.grid_size
        num_points = size**2
        channels = config.point_channels * num_points
        self.convs = nn.Sequential(
            *(
                ConvModule(
                    in_channels if number == 0 else channels,
                    channels,
                    3,
                    stride=2 if number == 0 else 1,
                    padding=1,
                    bias=True,
                    norm=config.norm,
                )
                for number in range(config.num_convs)
            )
        )
        self.neighbors = [_neighbors(number, size) for number in range(num_points)]
        self.forder_trans = _transitions(self.neighbors, config.point_channels)
        self.sorder_trans = _transitions(self.neighbors, config.point_channels)
        self.deconv1 = nn.ConvTranspose2d(
            channels, channels, 4, stride=2, padding=1, groups=num_points
        )
        self.norm1 = nn.GroupNorm(num_points, channels)
        self.deconv2 = nn.ConvTranspose2d(
            channels, num_points, 4, stride=2, padding=1, groups=num_points
        )
        self.map_size = 4 * region_size
        self.window = self.map_size // 4 * 2
        self.register_buffer("corners", self._corners(), persistent=False)
        for layer, bias in ((self.deconv1, 0.0), (self.deconv2, -math.log(0.99 / 0.01))):
            nn.init.normal_(layer.weight, std=0.001)
            assert layer.bias is not None
            nn.init.constant_(layer.bias, bias)

    def _corners(self) -> Tensor:
        """The top left corner of each point's window in the full map, (points, 2) x, y."""
        size = self.config.grid_size
        starts = [int((place / (size - 1) - 0.25) * self.map_size) for place in range(1, size - 1)]
        starts = [0, *starts, self.window]
        return torch.tensor([[x, y] for x in starts for y in starts])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Regions (R, C, h, w) -> heatmaps (R, points, 2h, 2w) after and before feature fusion
        between points.
        """
        own = self.convs(x)
        parts = own.chunk(len(self.neighbors), 1)
        first = self._exchange(parts, parts, self.forder_trans)
        second = self._exchange(parts, first, self.sorder_trans)
        return self._heatmaps(torch.cat(second, 1)), self._heatmaps(own)

    def _exchange(
        self, parts: Sequence[Tensor], messages: Sequence[Tensor], transitions: Transitions
    ) -> tuple[Tensor, ...]:
        """Adds to each point's features the transformed features of its neighbors."""
        return tuple(
            sum((layer(messages[other]) for layer, other in zip(layers, others)), part)
            for part, others, layers in zip(parts, self.neighbors, transitions)
        )

    def _heatmaps(self, x: Tensor) -> Tensor:
        return self.deconv2(F.relu(self.norm1(self.deconv1(x)), inplace=True))

    # ------------------------------------------------------------------------------ training

    def loss(self, heatmaps: tuple[Tensor, Tensor], boxes: Tensor, target_boxes: Tensor) -> Losses:
        """Computes the cross entropy of both heatmaps of ``boxes`` (R, 4) for ``target_boxes`` (R,
        4).
        """
        wanted = self.targets(boxes, target_boxes)
        # Without regions in any process, the sum is zero, whatever the divisor.
        count = average_over_processes(boxes.new_full((), len(boxes)))
        cells = count.clamp(min=1 / num_processes()) * len(self.neighbors) * self.window**2
        fused, unfused = (
            F.binary_cross_entropy_with_logits(maps.float(), wanted, reduction="sum")
            for maps in heatmaps
        )
        return Losses(loss_grid=self.config.loss_weight * (fused + unfused) / cells)

    @torch.no_grad()
    def targets(self, boxes: Tensor, target_boxes: Tensor) -> Tensor:
        """The target heatmaps of the points of ``target_boxes`` (R, 4) relative to ``boxes`` (R,
        4).

        (R, points, window, window), 1 near a point. Boxes with less than about a cell per point
        have none.
        """
        size = boxes[:, 2:] - boxes[:, :2]
        low, extent = boxes[:, :2] - size / 2, 2 * size
        share = torch.arange(self.config.grid_size, device=boxes.device) / (
            self.config.grid_size - 1
        )
        # (R, grid_size, 2): positions of columns and rows, in cells of the full map.
        lines = target_boxes[:, None, :2] + share[:, None] * (
            target_boxes[:, None, 2:] - target_boxes[:, None, :2]
        )
        lines = ((lines - low[:, None]) / extent[:, None] * self.map_size).trunc()
        number = torch.arange(self.config.grid_size, device=boxes.device)
        column, row = torch.meshgrid(number, number, indexing="ij")
        place = torch.stack([lines[:, column.flatten(), 0], lines[:, row.flatten(), 1]], -1)
        cell = torch.arange(self.window, device=boxes.device)
        across = cell + self.corners[:, :1] - place[..., :1]  # (R, points, window)
        down = cell + self.corners[:, 1:] - place[..., 1:]
        distance = across.square()[:, :, None] + down.square()[..., None]
        is_large = (extent > self.config.grid_size).all(1)[:, None, None, None]
        return ((distance <= self.config.radius**2) & is_large).float()

    # ----------------------------------------------------------------------------- inference

    def boxes(self, heatmaps: Tensor, boxes: Tensor) -> Tensor:
        """Decodes boxes (R, 4), each side of which is the mean of its points, weighted by scores.

        ``heatmaps`` (R, points, window, window) of regions ``boxes`` (R, 4).
        """
        score, place = heatmaps.float().sigmoid().flatten(2).max(2)  # (R, points)
        cell = torch.stack([place % self.window, place // self.window], -1) + self.corners
        size = boxes[:, None, 2:] - boxes[:, None, :2]
        points = boxes[:, None, :2] - size / 2 + (cell + 0.5) / self.window * size
        grid = (self.config.grid_size, self.config.grid_size)
        points, score = points.unflatten(1, grid), score.unflatten(1, grid)  # column, row
        sides = [
            _mean(points[:, 0, :, 0], score[:, 0]),
            _mean(points[:, :, 0, 1], score[:, :, 0]),
            _mean(points[:, -1, :, 0], score[:, -1]),
            _mean(points[:, :, -1, 1], score[:, :, -1]),
        ]
        return torch.stack(sides, 1)


def _neighbors(number: int, size: int) -> list[int]:
    """The existing points to the left of, above, below and to the right of a point."""
    column, row = divmod(number, size)
    around = [(column - 1, row), (column, row - 1), (column, row + 1), (column + 1, row)]
    return [x * size + y for x, y in around if 0 <= x < size and 0 <= y < size]


def _transitions(neighbors: list[list[int]], channels: int) -> Transitions:
    """Builds a depthwise 5x5 and a 1x1 convolution for every pair of point and neighbor."""
    return Transitions(
        ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, channels, 5, padding=2, groups=channels),
                nn.Conv2d(channels, channels, 1),
            )
            for _ in others
        )
        for others in neighbors
    )


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted means (R,) of values (R, K)."""
    return (values * weights).sum(1) / weights.sum(1)
