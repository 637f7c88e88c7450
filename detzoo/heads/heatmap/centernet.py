"""CenterNet's head (Objects as Points, https://arxiv.org/abs/1904.07850)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from detzoo.config import config
from detzoo.heads.base import DetectionHead, DetectionHeadConfig
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.heatmap.keypoints import (
    at_cells,
    draw_bumps,
    find_peaks,
    gaussian_radius,
    input_size,
    read_cells,
)
from detzoo.losses.heatmap import GaussianFocalLoss
from detzoo.ops.distributed import average_over_processes
from detzoo.structures import Candidates, Detections, ImageInfo, Targets

# Initial score of every class in every cell.
PRIOR_PROBABILITY = 0.1


@config
class CenterNetHeadConfig(DetectionHeadConfig):
    """Heatmaps of the classes' centres; in every cell the size of an object, and where in the cell
    its centre is.

    The ``num_peaks`` highest cells that are maxima of the ``window`` cells around them are the
    detections: nothing is suppressed.
    """

    channels: int = 64
    heatmap_loss: GaussianFocalLoss = GaussianFocalLoss()
    size_weight: float = 0.1
    offset_weight: float = 1.0
    num_peaks: int = 100
    window: int = 3

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> CenterNetHead:
        return CenterNetHead(self, in_channels, num_classes)


@dataclass(frozen=True)
class CentreMaps:
    """``heat`` logits (B, C, H, W), ``size`` (B, 2, H, W) width and height and ``offset``
    (B, 2, H, W) x and y, both in cells."""

    heat: Tensor
    size: Tensor
    offset: Tensor


class CenterNetHead(DetectionHead):
    """Children ``heatmap_head``, ``wh_head``, ``offset_head``."""

    def __init__(
        self, config: CenterNetHeadConfig, in_channels: Sequence[int], num_classes: int
    ) -> None:
        super().__init__()
        self.config = config
        self.num_classes = num_classes
        (width,) = in_channels
        self.heatmap_head = _branch(width, config.channels, num_classes)
        self.wh_head = _branch(width, config.channels, 2)
        self.offset_head = _branch(width, config.channels, 2)
        for branch in (self.wh_head, self.offset_head):
            for conv in (branch[0], branch[2]):
                nn.init.normal_(conv.weight, std=0.001)
                nn.init.zeros_(conv.bias)
        nn.init.constant_(self.heatmap_head[2].bias, -math.log(1 / PRIOR_PROBABILITY - 1))

    def forward(self, features: Sequence[Tensor]) -> CentreMaps:
        (x,) = features
        return CentreMaps(self.heatmap_head(x), self.wh_head(x), self.offset_head(x))

    def loss(
        self, predictions: CentreMaps, targets: Sequence[Targets], infos: Sequence[ImageInfo]
    ) -> dict[str, Tensor]:
        config = self.config
        heat, geometry, is_centre = self._targets(predictions, targets, infos)
        size, offset = geometry.split(2, dim=1)
        num_centres = average_over_processes((heat == 1).sum().float()).clamp(min=1)
        weight = is_centre[:, None] / (2 * num_centres)
        size_error = (predictions.size.float() - size).abs()
        offset_error = (predictions.offset.float() - offset).abs()
        return {
            "loss_center_heatmap": config.heatmap_loss(predictions.heat, heat),
            "loss_wh": config.size_weight * (size_error * weight).sum(),
            "loss_offset": config.offset_weight * (offset_error * weight).sum(),
        }

    @torch.no_grad()
    def _targets(
        self, predictions: CentreMaps, targets: Sequence[Targets], infos: Sequence[ImageInfo]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Heatmaps (B, C, H, W), width, height, x and y in the cell (B, 4, H, W), centres (B, H, W)."""
        height, width = predictions.heat.shape[2:]
        pixels = input_size(infos)
        rows = []
        for target in targets:
            scale = target.boxes.new_tensor([width / pixels[1], height / pixels[0]])
            centre = (target.boxes[:, :2] + target.boxes[:, 2:]) * scale / 2
            size = (target.boxes[:, 2:] - target.boxes[:, :2]) * scale
            last = centre.new_tensor([width - 1, height - 1])
            cells = torch.minimum(centre.floor(), last).clamp(min=0).long()
            heat = draw_bumps(
                cells, gaussian_radius(size), target.labels, self.num_classes, (height, width)
            )
            geometry = torch.cat([size, centre - cells], 1)
            rows.append((heat, *at_cells(cells, geometry, (height, width))))
        heats, geometries, masks = (torch.stack(column) for column in zip(*rows))
        return heats, geometries, masks

    def decode(self, predictions: CentreMaps, infos: Sequence[ImageInfo]) -> list[Candidates]:
        height, width = predictions.heat.shape[2:]
        pixels = input_size(infos)
        cell = predictions.heat.new_tensor([pixels[1] / width, pixels[0] / height]).float()
        out = []
        for image in range(len(infos)):
            heat = predictions.heat[image].float().sigmoid()
            peaks = find_peaks(heat, self.config.num_peaks, self.config.window)
            centre = peaks.position + read_cells(predictions.offset[image], peaks.cells)
            half = read_cells(predictions.size[image], peaks.cells) / 2
            boxes = torch.cat([(centre - half) * cell, (centre + half) * cell], 1)
            out.append(Candidates(boxes, peaks.scores, peaks.labels, peaks.labels))
        return out

    def select(self, candidates: Sequence[Candidates]) -> list[Detections]:
        """A centre is a maximum of its surroundings already."""
        return [Detections(image.boxes, image.scores, image.labels) for image in candidates]

    def class_parameters(self) -> dict[str, ClassRows]:
        return {"heatmap_head.2.weight": ClassRows(), "heatmap_head.2.bias": ClassRows()}


def _branch(in_channels: int, channels: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels, outputs, 1),
    )
