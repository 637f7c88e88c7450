"""Uniform matching: the same number of priors per target (YOLOF, https://arxiv.org/abs/2103.09460)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from detzoo.assigners.base import nothing_to_find
from detzoo.config import PositiveInt, UnitFloat, config
from detzoo.ops.boxes import box_centers, pairwise_iou
from detzoo.structures import IGNORED, Assignment, Targets


@dataclass(frozen=True)
class MatchedPairs:
    """M pairs of a ``prior`` (M,) and the ``target`` (M,) that its box is trained on, as indices.

    Pairs for which ``counts`` (M,) is false have no loss. A prior can be in several pairs; its
    classification is trained on ``assignment``.
    """

    assignment: Assignment
    prior: Tensor
    target: Tensor
    counts: Tensor


@config
class UniformAssigner:
    """Assigns each target to its nearest priors and to the priors with the nearest predicted boxes.

    Distances are the L1 distances of center and size, in pixels.

    Args:
        matches: Number of priors of either kind per target.
        min_iou: Assigned priors with a lower IoU with the target are ignored.
        ignored_iou: Other priors whose predicted boxes have a higher IoU with a target are ignored.
    """

    matches: PositiveInt = 4
    min_iou: UnitFloat = 0.15
    ignored_iou: UnitFloat = 0.7

    def assign_pairs(
        self, priors: Tensor, predicted: Tensor, targets: Targets, allowed: Tensor
    ) -> MatchedPairs:
        """Pairs targets with priors (P, 4), whose predicted boxes are (P, 4).

        Priors that are not ``allowed`` (P,) are ignored.
        """
        num_targets = len(targets)
        if num_targets == 0:
            nothing = nothing_to_find(allowed)
            none = nothing.target_index[:0]
            return MatchedPairs(nothing, none, none, none.bool())
        nearest = [
            _difference(boxes, targets.boxes)
            .masked_fill(~allowed[:, None], torch.inf)
            .topk(self.matches, 0, largest=False)
            .indices
            for boxes in (predicted, priors)
        ]
        prior = torch.cat(nearest, 1).flatten()  # (M,), nearest first
        target = torch.arange(num_targets, device=prior.device).repeat(2 * self.matches)
        iou = pairwise_iou(priors, targets.boxes)
        counts = (iou[prior, target] >= self.min_iou) & allowed[prior]

        taken = pairwise_iou(predicted, targets.boxes).amax(1) > self.ignored_iou
        index = nothing_to_find(allowed).ignoring(taken).target_index
        # Of several pairs with the same prior, the last one is used.
        place = torch.arange(len(prior), device=prior.device)
        last = torch.full_like(index, -1).scatter_reduce(0, prior, place, "amax")
        decided = torch.where(counts, target, IGNORED)[last.clamp(min=0)]
        index = torch.where(last >= 0, decided, index)
        assignment = Assignment(index, iou.amax(1)).ignoring(~allowed)
        return MatchedPairs(assignment, prior, target, counts)


def _difference(a: Tensor, b: Tensor) -> Tensor:
    """L1 distances of boxes (P, 4) and (N, 4) as center, width and height -> (P, N)."""
    a, b = (torch.cat([box_centers(x), x[:, 2:] - x[:, :2]], 1) for x in (a, b))
    return (a[:, None] - b).abs().sum(-1)
