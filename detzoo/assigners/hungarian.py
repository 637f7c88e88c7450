"""One prediction for each object, at the least total cost (https://arxiv.org/abs/2005.12872)."""

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

from detzoo.config import config
from detzoo.losses.boxes import GIoULoss
from detzoo.structures import BACKGROUND, ImageInfo, Targets

# Stands for a cost that is not a number: a diverged step shall report its loss, not fail here.
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
        # A row that is nobody's, so that there is always one to look at.
        boxes = [torch.cat([t.boxes, t.boxes.new_zeros((1, 4))]) for t in targets]
        labels = [torch.cat([t.labels, t.labels.new_zeros(1)]) for t in targets]
        return cls(
            pad_sequence(boxes, batch_first=True),
            pad_sequence(labels, batch_first=True),
            tuple(len(target) for target in targets),
            image_scale(infos, device),
        )

    def class_agnostic(self) -> TargetTable:
        """The same objects, all of class 0."""
        return replace(self, labels=torch.zeros_like(self.labels))

    def rows(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Labels (S, B, Q) and boxes (S, B, Q, 4) of the targets ``index`` (S, B, Q)."""
        image = torch.arange(len(self.counts), device=index.device)[:, None]
        return self.labels[image, index], self.boxes[image, index]


def image_scale(infos: Sequence[ImageInfo], device: torch.device) -> Tensor:
    """(B, 1, 4) width, height, width, height of each image."""
    sides = [(info.size[1], info.size[0]) * 2 for info in infos]
    return torch.tensor(sides, dtype=torch.float32).to(device, non_blocking=True)[:, None]


@config
class ClassCost(ABC):
    """What it costs that a query rates an object's class low."""

    weight: float = 1.0

    @abstractmethod
    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits (S, B, Q, K), labels (B, N) -> (S, B, Q, N)."""


@config
class ProbabilityCost(ClassCost):
    """Falls with the class's probability under softmax."""

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        return -self.weight * _columns(logits.softmax(-1), labels)


@config
class FocalCost(ClassCost):
    """The focal loss of the class, less what it would be for background."""

    alpha: float = 0.25
    gamma: float = 2.0
    eps: float = 1e-12

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        p = _columns(logits, labels).sigmoid()
        positive = self.alpha * (1 - p).pow(self.gamma) * -(p + self.eps).log()
        negative = (1 - self.alpha) * p.pow(self.gamma) * -(1 - p + self.eps).log()
        return self.weight * (positive - negative)


@config
class HungarianAssigner:
    """Matches each object with the one query that makes the total cost least.

    The cost is that of the class, the L1 distance of the boxes in parts of the image, in the form
    that ``box_form`` says, and their generalised IoU.
    """

    class_cost: ClassCost
    box_weight: float = 5.0
    box_form: Literal["corners", "centre_size"] = "centre_size"
    giou_weight: float = 2.0

    def relative(self, boxes: Tensor, scale: Tensor) -> Tensor:
        """Boxes (..., 4) xyxy in pixels -> in parts of their image, in ``box_form``."""
        corners = boxes / scale
        if self.box_form == "corners":
            return corners
        low, high = corners[..., :2], corners[..., 2:]
        return torch.cat([(low + high) / 2, high - low], -1)

    @torch.no_grad()
    def cost(self, logits: Tensor, boxes: Tensor, table: TargetTable) -> Tensor:
        """What it costs to match each query with each target of its image -> (S, B, Q, N).

        ``logits`` (S, B, Q, K) and ``boxes`` (S, B, Q, 4) xyxy in input pixels are what S stages
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
    """The matching of least cost -> for each of ``costs`` (S, B, Q, N) targets' indices (S, B, Q).

    Queries without a target have ``BACKGROUND``. Of image b the first ``counts[b]`` targets are
    real. All costs go to the host in one transfer, and all indices back in one.
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
    """The values (S, B, Q, K) of the classes ``labels`` (B, N) -> (S, B, Q, N)."""
    shape = (*values.shape[:3], labels.shape[1])
    return values.gather(-1, labels[:, None].expand(shape))
