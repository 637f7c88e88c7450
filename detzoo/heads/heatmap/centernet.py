"""CenterNet (Objects as Points, https://arxiv.org/abs/1904.07850)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from detzoo.config import Channels, NonNegativeFloat, PositiveInt, config
from detzoo.heads.base import DetectionHead, DetectionHeadConfig
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.heatmap.keypoints import (
    check_window,
    draw_gaussians,
    find_peaks,
    gather_cells,
    gaussian_radius,
    input_size,
    scatter_cells,
)
from detzoo.losses.heatmap import GaussianFocalLoss
from detzoo.ops.constants import constant
from detzoo.ops.distributed import average_over_processes
from detzoo.structures import Candidates, Detections, ImageInfo, Losses, Targets

# Initial score of all classes in all cells.
PRIOR_PROBABILITY = 0.1


@config
class CenterNetHeadConfig(DetectionHeadConfig):
    """CenterNet: predicts heatmaps of object centers per class, and in each cell the size of the
    object and the offset of its center. The highest local maxima are the detections; there is no
    NMS.

    Args:
        channels: Channels of the hidden layer of each branch.
        heatmap_loss: Loss of the heatmaps.
        size_weight: Weight of the size loss.
        offset_weight: Weight of the offset loss.
        num_peaks: Number of detections per image.
        window: Side, in cells, of the window within which a detection must be the maximum; odd.
    """

    channels: Channels = 64
    heatmap_loss: GaussianFocalLoss = GaussianFocalLoss()
    size_weight: NonNegativeFloat = 0.1
    offset_weight: NonNegativeFloat = 1.0
    num_peaks: PositiveInt = 100
    window: PositiveInt = 3

    def __post_init__(self) -> None:
        check_window(self.window)

    def build(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int
    ) -> CenterNetHead:
        return CenterNetHead(self, in_channels, num_classes)


@dataclass(frozen=True)
class CenterMaps:
    """``heat`` logits (B, C, H, W), ``size`` (B, 2: width, height, H, W) and ``offset`` (B, 2: x,
    y, H, W), both in cells."""

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
            for name, parameter in branch.named_parameters():
                nn.init.normal_(parameter, std=0.0 if name.endswith("bias") else 0.001)
        bias = self.heatmap_head.get_parameter("2.bias")
        nn.init.constant_(bias, -math.log(1 / PRIOR_PROBABILITY - 1))

    def forward(self, features: Sequence[Tensor]) -> CenterMaps:
        (x,) = features
        return CenterMaps(self.heatmap_head(x), self.wh_head(x), self.offset_head(x))

    def loss(
        self, predictions: CenterMaps, targets: Sequence[Targets], infos: Sequence[ImageInfo]
    ) -> Losses:
        config = self.config
        heat, geometry, is_center = self._targets(predictions, targets, infos)
        size, offset = geometry.split(2, dim=1)
        num_centers = average_over_processes((heat == 1).sum().float()).clamp(min=1)
        weight = is_center[:, None] / (2 * num_centers)
        own_centers = (heat == 1).sum().clamp(min=1)  # of this process only, as in the original
        size_error = (predictions.size.float() - size).abs()
        offset_error = (predictions.offset.float() - offset).abs()
        return Losses(
            loss_center_heatmap=config.heatmap_loss(predictions.heat, heat) / own_centers,
            loss_wh=config.size_weight * (size_error * weight).sum(),
            loss_offset=config.offset_weight * (offset_error * weight).sum(),
        )

    @torch.no_grad()
    def _targets(
        self, predictions: CenterMaps, targets: Sequence[Targets], infos: Sequence[ImageInfo]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Heatmaps (B, C, H, W); width, height, x and y in the cell (B, 4, H, W); and a mask of the
        centers (B, H, W)."""
        height, width = predictions.heat.shape[2:]
        pixels = input_size(infos)
        rows = []
        for target in targets:
            device, dtype = target.boxes.device, target.boxes.dtype
            scale = constant((width / pixels[1], height / pixels[0]), device, dtype)
            center = (target.boxes[:, :2] + target.boxes[:, 2:]) * scale / 2
            size = (target.boxes[:, 2:] - target.boxes[:, :2]) * scale
            last = constant((width - 1, height - 1), device, dtype)
            cells = torch.minimum(center.floor(), last).clamp(min=0).long()
            heat = draw_gaussians(
                cells, gaussian_radius(size), target.labels, self.num_classes, (height, width)
            )
            geometry = torch.cat([size, center - cells], 1)
            rows.append((heat, *scatter_cells(cells, geometry, (height, width))))
        heats, geometries, masks = (torch.stack(column) for column in zip(*rows))
        return heats, geometries, masks

    def decode(self, predictions: CenterMaps, infos: Sequence[ImageInfo]) -> list[Candidates]:
        scores = predictions.heat.float().sigmoid()
        return self._candidates(scores, predictions.size, predictions.offset, infos)

    def _candidates(
        self, scores: Tensor, size: Tensor, offset: Tensor, infos: Sequence[ImageInfo]
    ) -> list[Candidates]:
        """Decodes the objects at the peaks of ``scores`` (B, C, H, W)."""
        height, width = scores.shape[2:]
        pixels = input_size(infos)
        cell = constant((pixels[1] / width, pixels[0] / height), scores.device, scores.dtype)
        out = []
        for image in range(len(infos)):
            peaks = find_peaks(scores[image], self.config.num_peaks, self.config.window)
            center = peaks.position + gather_cells(offset[image], peaks.cells)
            half = gather_cells(size[image], peaks.cells) / 2
            boxes = torch.cat([(center - half) * cell, (center + half) * cell], 1)
            out.append(Candidates(boxes, peaks.scores, peaks.labels, peaks.labels))
        return out

    def decode_augmented(
        self, augmented: Sequence[tuple[CenterMaps, Sequence[ImageInfo]]]
    ) -> list[Candidates]:
        """Averages scores and sizes over an augmented image and its flipped versions, which follow
        it.
        """
        starts = [k for k, (_, infos) in enumerate(augmented) if infos[0].flip == "none"]
        found = []
        for start, end in itertools.pairwise([*starts, len(augmented)]):
            maps, infos = augmented[start]
            alike = augmented[start:end]
            scores = [_mirrored(m.heat.float().sigmoid(), i[0].flip) for m, i in alike]
            sizes = [_mirrored(m.size, i[0].flip) for m, i in alike]
            score, size = torch.stack(scores).mean(0), torch.stack(sizes).mean(0)
            candidates = self._candidates(score, size, maps.offset, infos)
            found.append([one.to_original(info) for one, info in zip(candidates, infos)])
        return [Candidates.join(image) for image in zip(*found)]

    def select(self, candidates: Sequence[Candidates]) -> list[Detections]:
        """Returns all candidates sorted by score: centers are already local maxima."""
        best = [image[image.scores.argsort(descending=True)] for image in candidates]
        return [Detections(image.boxes, image.scores, image.labels) for image in best]

    def class_parameters(self) -> dict[str, ClassRows]:
        return {"heatmap_head.2.weight": ClassRows(), "heatmap_head.2.bias": ClassRows()}


def _mirrored(maps: Tensor, flip: str) -> Tensor:
    """Undoes the flip of maps (B, C, H, W)."""
    axes = {"none": (), "horizontal": (3,), "vertical": (2,), "diagonal": (2, 3)}[flip]
    return maps.flip(axes)


def _branch(in_channels: int, channels: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels, outputs, 1),
    )
