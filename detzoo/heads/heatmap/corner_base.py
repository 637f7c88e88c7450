"""Corner-based detection: the common parts of CornerNet (https://arxiv.org/abs/1808.01244) and
CentripetalNet (https://arxiv.org/abs/2003.09119)."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detzoo.config import NonNegativeFloat, PositiveInt, config
from detzoo.heads.base import DetectionHead, DetectionHeadConfig
from detzoo.heads.class_rows import ClassRows
from detzoo.heads.heatmap.keypoints import (
    Peaks,
    check_window,
    draw_gaussians,
    find_peaks,
    gather_cells,
    gaussian_radius,
    input_size,
    scatter_cells,
)
from detzoo.layers.conv_norm_act import ConvModule
from detzoo.layers.norm import BatchNormConfig
from detzoo.losses.heatmap import GaussianFocalLoss
from detzoo.ops.constants import constant
from detzoo.ops.corner_pool import Direction, corner_pool
from detzoo.ops.distributed import average_over_processes
from detzoo.postprocess.nms import GaussianSoftNMS
from detzoo.postprocess.select import Select
from detzoo.structures import Candidates, Detections, ImageInfo, Losses, Targets

# Initial score of all classes in all cells.
PRIOR_PROBABILITY = 0.1
POOL_CHANNELS = 128
BRANCH_CHANNELS = 256


@config
class CornerPairHeadConfig(DetectionHeadConfig):
    """Predicts heatmaps of top-left and bottom-right corners, their offsets in the cells, and tags
    for pairing corners.

    Args:
        heatmap_loss: Loss of the heatmaps.
        offset_weight: Weight of the offset loss.
        num_peaks: Number of corners of each kind with the highest scores to pair.
        window: Side, in cells, of the window within which a corner must be the maximum; odd.
        max_distance: Largest distance between the tags of a pair.
        num_pairs: Number of best pairs that become candidates.
        select: Selects the final detections.
    """

    heatmap_loss: GaussianFocalLoss = GaussianFocalLoss()
    offset_weight: NonNegativeFloat = 1.0
    num_peaks: PositiveInt = 100
    window: PositiveInt = 3
    max_distance: NonNegativeFloat = 0.5
    num_pairs: PositiveInt = 1000
    select: Select = Select(min_score=0.0, suppression=GaussianSoftNMS())

    def __post_init__(self) -> None:
        check_window(self.window)


@dataclass(frozen=True)
class CornerMaps:
    """The predictions for one kind of corner.

    ``heat`` logits (B, C, H, W), ``offset`` (B, 2: x, y, H, W) in the cell and ``tag`` (B, K, H,
    W). ``guide`` (B, 2, H, W) is CentripetalNet's guiding shift.
    """

    heat: Tensor
    offset: Tensor
    tag: Tensor
    guide: Tensor | None = None


@dataclass(frozen=True)
class CornerPair:
    """The predictions for both kinds of corners, from one stack of the backbone."""

    top_left: CornerMaps
    bottom_right: CornerMaps


@dataclass(frozen=True)
class CornerTargets:
    """The training targets of one kind of corner.

    ``heat`` (B, C, H, W); where ``is_corner`` (B, 1, H, W), ``offset`` (B, 2, H, W) and the
    distances in x and y to the object's center, from the cell (``guiding_shift``) and from the
    corner itself (``centripetal_shift``), both (B, 2, H, W) and positive. ``cells`` contains the
    corners of each image (N, 2: x, y).
    """

    heat: Tensor
    is_corner: Tensor
    offset: Tensor
    guiding_shift: Tensor
    centripetal_shift: Tensor
    cells: tuple[Tensor, ...]


@dataclass(frozen=True)
class Corners:
    """The K peaks of one kind of corner in one image; ``position`` (K, 2) is in cells, including
    offsets."""

    peaks: Peaks
    position: Tensor
    tag: Tensor


class CornerPairHead(DetectionHead):
    """One set of layers, named ``tl_...`` and ``br_...``, for each stack of the backbone.

    All stacks are trained; the last one detects.
    """

    def __init__(
        self, config: CornerPairHeadConfig, in_channels: Sequence[int], num_classes: int
    ) -> None:
        super().__init__()
        self.config = config
        self.num_classes = num_classes
        self.num_stacks = len(in_channels)
        width = in_channels[0]
        self.tl_pool = nn.ModuleList(CornerPooling(width, ("top", "left")) for _ in in_channels)
        self.br_pool = nn.ModuleList(CornerPooling(width, ("bottom", "right")) for _ in in_channels)
        self.tl_heat, self.br_heat = self.branches(width, num_classes)
        self.tl_off, self.br_off = self.branches(width, 2)
        for branch in (*self.tl_heat, *self.br_heat):
            nn.init.constant_(branch[-1].conv.bias, -math.log(1 / PRIOR_PROBABILITY - 1))

    def branches(self, width: int, outputs: int) -> tuple[nn.ModuleList, nn.ModuleList]:
        """Builds a small network from pooled features to ``outputs`` channels, per kind of corner
        and stack.
        """

        def one() -> nn.ModuleList:
            return nn.ModuleList(_branch(width, outputs) for _ in range(self.num_stacks))

        return one(), one()

    def forward(self, features: Sequence[Tensor]) -> list[CornerPair]:
        return [self.forward_stack(x, stack) for stack, x in enumerate(features)]

    @abstractmethod
    def forward_stack(self, x: Tensor, stack: int) -> CornerPair: ...

    def loss(
        self, predictions: list[CornerPair], targets: Sequence[Targets], infos: Sequence[ImageInfo]
    ) -> Losses:
        wanted = self._targets(predictions[0], targets, infos)
        losses: dict[str, list[Tensor]] = {}
        for pair in predictions:
            of_stack = {
                "det_loss": self._both(self._heat_loss, pair, wanted),
                "off_loss": self._both(self._offset_loss, pair, wanted),
                **self.tag_losses(pair, wanted),
            }
            for name, value in of_stack.items():
                losses.setdefault(name, []).append(value)
        return Losses({name: torch.stack(values).sum() for name, values in losses.items()})

    @abstractmethod
    def tag_losses(
        self, pair: CornerPair, targets: tuple[CornerTargets, CornerTargets]
    ) -> dict[str, Tensor]:
        """Computes the tag losses of one stack."""

    def _heat_loss(self, maps: CornerMaps, targets: CornerTargets) -> Tensor:
        num_corners = (targets.heat == 1).sum().clamp(min=1)
        return self.config.heatmap_loss(maps.heat, targets.heat) / num_corners

    def _offset_loss(self, maps: CornerMaps, targets: CornerTargets) -> Tensor:
        return self.config.offset_weight * at_corners(maps.offset, targets.offset, targets)

    @staticmethod
    def _both(
        loss: Callable[[CornerMaps, CornerTargets], Tensor],
        pair: CornerPair,
        targets: tuple[CornerTargets, CornerTargets],
    ) -> Tensor:
        return (loss(pair.top_left, targets[0]) + loss(pair.bottom_right, targets[1])) / 2

    @torch.no_grad()
    def _targets(
        self, pair: CornerPair, targets: Sequence[Targets], infos: Sequence[ImageInfo]
    ) -> tuple[CornerTargets, CornerTargets]:
        """Builds the targets of top-left and bottom-right corners."""
        height, width = pair.top_left.heat.shape[2:]
        pixels = input_size(infos)
        kinds: tuple[list[tuple[Tensor, ...]], ...] = ([], [])
        for target in targets:
            device, dtype = target.boxes.device, target.boxes.dtype
            scale = constant((width / pixels[1], height / pixels[0]), device, dtype)
            corners = target.boxes.view(-1, 2, 2) * scale  # (N, corner, xy)
            center = corners.mean(1)
            radius = gaussian_radius((corners[:, 1] - corners[:, 0]).ceil())
            last = constant((width - 1, height - 1), device, dtype)
            for kind, rows in enumerate(kinds):
                corner = corners[:, kind]
                cells = torch.minimum(corner, last).clamp(min=0).long()
                # From the top-left corner to the center, or from the center to the bottom right.
                sign = 1 - 2 * kind
                values = torch.cat(
                    [corner - cells, (center - cells) * sign, (center - corner) * sign], 1
                )
                heat = draw_gaussians(
                    cells, radius, target.labels, self.num_classes, (height, width)
                )
                rows.append((heat, *scatter_cells(cells, values, (height, width)), cells))
        return _corner_targets(kinds[0]), _corner_targets(kinds[1])

    def decode(self, predictions: list[CornerPair], infos: Sequence[ImageInfo]) -> list[Candidates]:
        """Decodes pairs of corners sorted by score, with boxes clipped at the top and left of the
        image.
        """
        pair = predictions[-1]
        height, width = pair.top_left.heat.shape[2:]
        pixels = input_size(infos)
        device = pair.top_left.heat.device
        cell = constant((pixels[1] / width, pixels[0] / height), device)
        out = []
        for image, info in enumerate(infos):
            start = self._corners(pair.top_left, image)
            end = self._corners(pair.bottom_right, image)
            origin = constant(info.offset, device)  # of the image, which may be padded on all sides
            low = (start.position * cell - origin).clamp(min=0)[:, None].expand(-1, len(end.tag), 2)
            high = (end.position * cell - origin).clamp(min=0)[None].expand_as(low)
            boxes = torch.cat([low, high], 2)  # (K, K, 4) in pixels of the image
            fits = (start.peaks.labels[:, None] == end.peaks.labels) & (high > low).all(2)
            fits &= self.is_pair(start, end, boxes, cell, origin)
            scores = (start.peaks.scores[:, None] + end.peaks.scores) / 2
            scores = torch.where(fits, scores, -1.0).flatten()
            scores, best = scores.topk(min(self.config.num_pairs, len(scores)))
            labels = start.peaks.labels[best.div(len(end.tag), rounding_mode="floor")]
            found = boxes.view(-1, 4)[best] + origin.repeat(2)
            candidates = Candidates(found, scores, labels, labels)
            out.append(self.config.select.keep(candidates, scores >= 0))
        return out

    @abstractmethod
    def is_pair(
        self, start: Corners, end: Corners, boxes: Tensor, cell: Tensor, origin: Tensor
    ) -> Tensor:
        """Which top-left and bottom-right corners belong together according to their tags: (K, K).

        ``boxes`` (K, K, 4) span between them, in pixels from the image's ``origin`` (2,); ``cell``
        (2,) is the size of a cell in pixels.
        """

    def select(self, candidates: Sequence[Candidates]) -> list[Detections]:
        return [self.config.select(image) for image in candidates]

    def _corners(self, maps: CornerMaps, image: int) -> Corners:
        heat = maps.heat[image].float().sigmoid()
        peaks = find_peaks(heat, self.config.num_peaks, self.config.window)
        position = peaks.position + gather_cells(maps.offset[image], peaks.cells)
        return Corners(peaks, position, gather_cells(maps.tag[image], peaks.cells))

    def class_parameters(self) -> dict[str, ClassRows]:
        names = (
            f"{corner}_heat.{stack}.1.conv.{leaf}"
            for corner in ("tl", "br")
            for stack in range(self.num_stacks)
            for leaf in ("weight", "bias")
        )
        return {name: ClassRows() for name in names}


class CornerPooling(nn.Module):
    """Corner pooling in two ``directions``, with a residual shortcut."""

    def __init__(self, channels: int, directions: tuple[Direction, Direction]) -> None:
        super().__init__()
        norm = BatchNormConfig()
        self.directions = directions
        self.direction1_conv = ConvModule(channels, POOL_CHANNELS, 3, padding=1, norm=norm)
        self.direction2_conv = ConvModule(channels, POOL_CHANNELS, 3, padding=1, norm=norm)
        self.aftpool_conv = ConvModule(
            POOL_CHANNELS, channels, 3, padding=1, norm=norm, activation="none"
        )
        self.conv1 = ConvModule(channels, channels, 1, norm=norm, activation="none")
        self.conv2 = ConvModule(channels, channels, 3, padding=1, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        first = corner_pool(self.direction1_conv(x), self.directions[0])
        second = corner_pool(self.direction2_conv(x), self.directions[1])
        return self.conv2(F.relu(self.aftpool_conv(first + second) + self.conv1(x)))


def at_corners(predicted: Tensor, wanted: Tensor, targets: CornerTargets) -> Tensor:
    """Smooth L1 loss of maps (B, 2, H, W), averaged over the cells that contain a corner."""
    losses = F.smooth_l1_loss(predicted.float(), wanted, reduction="none") * targets.is_corner
    count = average_over_processes(targets.is_corner.sum().float()).clamp(min=1)
    return losses.sum() / count


def _corner_targets(rows: list[tuple[Tensor, ...]]) -> CornerTargets:
    heats, values, masks, cells = zip(*rows)
    offset, guiding_shift, centripetal_shift = torch.stack(values).split(2, 1)
    is_corner = torch.stack(masks)[:, None]
    return CornerTargets(
        torch.stack(heats), is_corner, offset, guiding_shift, centripetal_shift, cells
    )


def _branch(width: int, outputs: int) -> nn.Sequential:
    last = ConvModule(BRANCH_CHANNELS, outputs, 1, activation="none")
    last.conv.reset_parameters()
    return nn.Sequential(ConvModule(width, BRANCH_CHANNELS, 3, padding=1), last)
