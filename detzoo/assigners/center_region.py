"""Assignment by the central region of targets (FSAF, https://arxiv.org/abs/1903.00621)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from detzoo.assigners.base import nothing_to_find
from detzoo.config import PositiveUnitFloat, UnitFloat, config
from detzoo.ops.boxes import box_area, box_centers, inner_distances, pairwise_iof
from detzoo.structures import BACKGROUND, Assignment, Priors, Targets


@dataclass(frozen=True)
class RegionAssignment:
    """The target of each prior, and the classes whose loss is left out there: ``spared`` (P, C)."""

    assignment: Assignment
    spared: Tensor


@config
class CenterRegionAssigner:
    """Assigns to each prior the smallest target with a central region that it overlaps.

    A region is the target's box, scaled around its center. Priors in the ignored region of a
    target, but not assigned to it, have no loss for its class; if they are assigned to another
    target of the same class, they become background.

    Args:
        positive_scale: Side of the region for positives, relative to the target's.
        ignored_scale: Side of the region in which the class gets no loss, relative to the target's.
        min_iof: Fraction of the prior that a region must cover.
    """

    positive_scale: PositiveUnitFloat = 0.2
    ignored_scale: PositiveUnitFloat = 0.2
    min_iof: UnitFloat = 0.01

    def assign_regions(
        self, priors: Priors, targets: Targets, allowed: Tensor, num_classes: int
    ) -> RegionAssignment:
        """Assigns targets to priors; those not ``allowed`` (P,) are ignored."""
        if len(targets) == 0:
            spared = torch.zeros(
                (len(priors), num_classes), dtype=torch.bool, device=allowed.device
            )
            return RegionAssignment(nothing_to_find(allowed), spared)
        centers = box_centers(priors.boxes)[:, None]
        inside = (inner_distances(centers, targets.boxes) > 0).all(-1)  # (P, N)
        positive = inside & self._covers(priors.boxes, targets.boxes, self.positive_scale)
        spared_by = self._covers(priors.boxes, targets.boxes, self.ignored_scale) | positive

        # Of targets with equal area, the later one has precedence.
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
        """Whether priors (P, 4) overlap the central region of targets (N, 4) -> (P, N)."""
        center, half = box_centers(targets), (targets[:, 2:] - targets[:, :2]) * (scale / 2)
        region = torch.cat([center - half, center + half], 1)
        return pairwise_iof(priors, region) > self.min_iof
