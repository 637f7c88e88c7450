"""Equally many priors for every target (YOLOF, https://arxiv.org/abs/2103.09460)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from detzoo.assigners.base import nothing_to_find
from detzoo.config import ConfigError, config
from detzoo.ops.boxes import box_centers, pairwise_iou
from detzoo.structures import IGNORED, Assignment, Targets


@dataclass(frozen=True)
class MatchedPairs:
    """M pairs of a ``prior`` (M,) and the ``target`` (M,) that learns from it, by index.

    ``counts`` (M,) is whether the pair does. A prior can be in several pairs; ``assignment`` is
    what its classes are trained on.
    """

    assignment: Assignment
    prior: Tensor
    target: Tensor
    counts: Tensor


@config
class UniformAssigner:
    """Each target takes its nearest priors, and the priors whose predicted boxes are nearest.

    Both are ``matches``, by the sum of the differences in centre and size. Pairs whose prior
    overlaps the target by less than ``min_iou`` do not count, and the prior is ignored. So are
    other priors whose prediction overlaps a target by more than ``ignored_iou``.
    """

    matches: int = 4
    min_iou: float = 0.15
    ignored_iou: float = 0.7

    def __post_init__(self) -> None:
        if self.matches < 1:
            raise ConfigError(f"matches: {self.matches} is not at least 1")

    def assign_pairs(
        self, priors: Tensor, predicted: Tensor, targets: Targets, allowed: Tensor
    ) -> MatchedPairs:
        """Priors (P, 4) with the boxes predicted for them (P, 4); without those not ``allowed``."""
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
        # Of the pairs with the same prior the last one decides.
        place = torch.arange(len(prior), device=prior.device)
        last = torch.full_like(index, -1).scatter_reduce(0, prior, place, "amax")
        decided = torch.where(counts, target, IGNORED)[last.clamp(min=0)]
        index = torch.where(last >= 0, decided, index)
        assignment = Assignment(index, iou.amax(1)).ignoring(~allowed)
        return MatchedPairs(assignment, prior, target, counts)


def _difference(a: Tensor, b: Tensor) -> Tensor:
    """Sum of the differences of boxes (P, 4) and (N, 4) in x, y, width and height -> (P, N)."""
    a, b = (torch.cat([box_centers(x), x[:, 2:] - x[:, :2]], 1) for x in (a, b))
    return (a[:, None] - b).abs().sum(-1)
