"""Bipartite matching of queries and targets (DETR, https://arxiv.org/abs/2005.12872)."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from detzoo.config import NonNegativeFloat, PositiveFloat, UnitFloat, config
from detzoo.losses.boxes import GIoULoss
from detzoo.structures import BACKGROUND, ImageInfo, Targets, sizes_of

# Replaces non-finite costs: a diverged step should report its loss, not fail here.
UNKNOWN_COST = 1e8


@dataclass(frozen=True)
class TargetTable:
    """The targets of B images, padded to N rows each, at least one.

    ``boxes`` (B, N, 4) xyxy in input pixels, ``labels`` (B, N), of which ``counts`` are real;
    ``scale`` (B, 1, 4) is width, height, width, height of each image.
    """

    boxes: Tensor
    labels: Tensor
    counts: tuple[int, ...]
    scale: Tensor

    @classmethod
    def of(cls, targets: Sequence[Targets], infos: Sequence[ImageInfo]) -> TargetTable:
        device = targets[0].boxes.device
        # One row of padding, so that there is at least one row.
        boxes = [torch.cat([t.boxes, t.boxes.new_zeros((1, 4))]) for t in targets]
        labels = [torch.cat([t.labels, t.labels.new_zeros(1)]) for t in targets]
        return cls(
            pad_sequence(boxes, batch_first=True),
            pad_sequence(labels, batch_first=True),
            tuple(len(target) for target in targets),
            image_scale(infos, device),
        )

    def class_agnostic(self) -> TargetTable:
        """Returns the same targets with class 0."""
        return replace(self, labels=torch.zeros_like(self.labels))

    def rows(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Labels (S, B, Q) and boxes (S, B, Q, 4) of the targets at ``index`` (S, B, Q)."""
        image = torch.arange(len(self.counts), device=index.device)[:, None]
        return self.labels[image, index], self.boxes[image, index]


def image_scale(infos: Sequence[ImageInfo], device: torch.device) -> Tensor:
    """Width, height, width, height of each image: (B, 1, 4)."""
    sides = sizes_of(infos).float().flip(1).repeat(1, 2)
    return sides.to(device, non_blocking=True)[:, None]


@config
class ClassCost(ABC):
    """The classification cost of matching a query with a target.

    Args:
        weight: Factor of the cost.
    """

    weight: NonNegativeFloat = 1.0

    @abstractmethod
    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Costs (S, B, Q, N) of logits (S, B, Q, K) for labels (B, N)."""


@config
class ProbabilityCost(ClassCost):
    """The negative softmax probability of the class."""

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        return -self.weight * _columns(logits.softmax(-1), labels)


@config
class FocalCost(ClassCost):
    """The focal loss of the class as a positive minus that as a negative.

    Args:
        alpha: Weight of positives; negatives have 1 - alpha.
        gamma: Focusing parameter; larger values down-weight easy samples.
        eps: Added to probabilities before taking logarithms.
    """

    alpha: UnitFloat = 0.25
    gamma: NonNegativeFloat = 2.0
    eps: PositiveFloat = 1e-12

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        p = _columns(logits, labels).sigmoid()
        positive = self.alpha * (1 - p).pow(self.gamma) * -(p + self.eps).log()
        negative = (1 - self.alpha) * p.pow(self.gamma) * -(1 - p + self.eps).log()
        return self.weight * (positive - negative)


@config
class HungarianAssigner:
    """Matches each target with one query at minimum total cost.

    The cost of a pair is the sum of the class cost, the L1 distance of the boxes in normalized
    coordinates, and their GIoU loss.

    Args:
        class_cost: Cost of the predicted class.
        box_weight: Weight of the L1 distance.
        box_form: Coordinates of the L1 distance: x1, y1, x2, y2, or center, width and height.
        giou_weight: Weight of the GIoU loss.
    """

    class_cost: ClassCost
    box_weight: NonNegativeFloat = 5.0
    box_form: Literal["corners", "center_size"] = "center_size"
    giou_weight: NonNegativeFloat = 2.0

    def relative(self, boxes: Tensor, scale: Tensor) -> Tensor:
        """Boxes (..., 4) xyxy in pixels -> normalized coordinates, in ``box_form``."""
        corners = boxes / scale
        if self.box_form == "corners":
            return corners
        low, high = corners[..., :2], corners[..., 2:]
        return torch.cat([(low + high) / 2, high - low], -1)

    @torch.no_grad()
    def cost(self, logits: Tensor, boxes: Tensor, table: TargetTable) -> Tensor:
        """The cost of matching each query with each target of its image: (S, B, Q, N).

        ``logits`` (S, B, Q, K) and ``boxes`` (S, B, Q, 4), xyxy in input pixels, are what S stages
        predict for Q queries in B images.
        """
        total = self.class_cost(logits.float(), table.labels)
        predicted = self.relative(boxes.float(), table.scale)[..., None, :]  # (S, B, Q, 1, 4)
        wanted = self.relative(table.boxes, table.scale)[:, None]  # (B, 1, N, 4)
        for side in range(4):
            total = total + self.box_weight * (predicted[..., side] - wanted[..., side]).abs()
        apart = GIoULoss().per_example(boxes.float()[..., None, :], table.boxes[:, None])
        return total + self.giou_weight * apart


def solve(costs: Sequence[Tensor], counts: Sequence[int]) -> list[Tensor]:
    """Finds the matchings of minimum cost: costs (S, B, Q, N) -> target indices (S, B, Q), each.

    Queries without a target get ``BACKGROUND``. In image b, the first ``counts[b]`` targets are
    real. All costs are copied to the host in one transfer, and all indices back in one.
    """
    device = costs[0].device
    joined = torch.cat([cost.flatten() for cost in costs])
    flat = joined.nan_to_num(UNKNOWN_COST, UNKNOWN_COST, -UNKNOWN_COST).cpu().numpy()
    ends = list(itertools.accumulate(cost.numel() for cost in costs))
    index: list[np.ndarray] = []
    for block, cost in zip(np.split(flat, ends[:-1]), costs):
        blocks = block.reshape(cost.shape)
        matched = np.full(cost.shape[:3], BACKGROUND)
        for stage, image in np.ndindex(cost.shape[:2]):
            real = blocks[stage, image, :, : counts[image]]
            queries, targets = linear_sum_assignment(real)
            matched[stage, image, queries] = targets
        index.append(matched)
    sizes = [matched.size for matched in index]
    numbers = torch.from_numpy(np.concatenate([matched.ravel() for matched in index]))
    parts = numbers.to(device, non_blocking=True).split(sizes)
    return [part.view(cost.shape[:3]) for part, cost in zip(parts, costs)]


def _columns(values: Tensor, labels: Tensor) -> Tensor:
    """Picks the classes ``labels`` (B, N) from values (S, B, Q, K) -> (S, B, Q, N)."""
    shape = (*values.shape[:3], labels.shape[1])
    return values.gather(-1, labels[:, None].expand(shape))
