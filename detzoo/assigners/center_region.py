"""Assignment of anchors in the middle of targets (FSAF, https://arxiv.org/abs/1903.00621)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from detzoo.assigners.base import nothing_to_find
from detzoo.config import ConfigError, config
from detzoo.ops.boxes import box_area, box_centers, inner_distances, pairwise_iof
from detzoo.structures import BACKGROUND, Assignment, Priors, Targets


@dataclass(frozen=True)
class RegionAssignment:
    """Which target each prior is trained on, and the classes it is not asked about (P, C)."""

    assignment: Assignment
    spared: Tensor


@config
class CenterRegionAssigner:
    """A prior takes the smallest target whose middle it covers.

    That is the target's box scaled by ``positive_scale``: it must fill more than ``min_coverage``
    of the prior, whose centre must lie in the target. Priors that cover the box scaled by
    ``ignored_scale`` without being the target's are not asked about its class; one that should then
    learn the same class from another target becomes background instead.
    """

    positive_scale: float = 0.2
    ignored_scale: float = 0.2
    min_coverage: float = 0.01

    def __post_init__(self) -> None:
        for name in ("positive_scale", "ignored_scale"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"{name}: {getattr(self, name)} is not above 0 and at most 1")

    def assign_regions(
        self, priors: Priors, targets: Targets, allowed: Tensor, num_classes: int
    ) -> RegionAssignment:
        """Those not ``allowed`` (P,) are ignored."""
        if len(targets) == 0:
            spared = torch.zeros(
                (len(priors), num_classes), dtype=torch.bool, device=allowed.device
            )
            return RegionAssignment(nothing_to_find(allowed), spared)
        centres = box_centers(priors.boxes)[:, None]
        inside = (inner_distances(centres, targets.boxes) > 0).all(-1)  # (P, N)
        positive = inside & self._covers(priors.boxes, targets.boxes, self.positive_scale)
        spared_by = self._covers(priors.boxes, targets.boxes, self.ignored_scale) | positive

        # Where areas are equal, the later target counts as the smaller one.
        size_rank = box_area(targets.boxes).argsort(descending=True, stable=True).argsort()
        rank, index = torch.where(positive, size_rank, -1).max(1)
        index = torch.where(rank >= 0, index, BACKGROUND)
        number = torch.arange(len(targets), device=index.device)
        spared_by &= number != index[:, None]

        spared = torch.zeros((len(priors), num_classes), device=index.device)
        label = targets.labels.expand_as(spared_by)
        spared = spared.scatter_reduce(1, label, spared_by.float(), "amax") > 0
        own = targets.labels[index.clamp(min=0)]
        contradiction = spared.gather(1, own[:, None])[:, 0]
        index = torch.where(contradiction, BACKGROUND, index)
        assignment = Assignment(index, torch.zeros(allowed.shape, device=index.device))
        return RegionAssignment(assignment.ignoring(~allowed), spared)

    def _covers(self, priors: Tensor, targets: Tensor, scale: float) -> Tensor:
        """Whether priors (P, 4) cover the middle of targets (N, 4) -> (P, N)."""
        centre, half = box_centers(targets), (targets[:, 2:] - targets[:, :2]) * (scale / 2)
        middle = torch.cat([centre - half, centre + half], 1)
        return pairwise_iof(priors, middle) > self.min_coverage
