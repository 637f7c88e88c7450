"""Sampling of negatives by score hierarchical local rank (PISA, https://arxiv.org/abs/1904.04821)."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import nms

from detzoo.config import UnitFloat, config
from detzoo.losses.prime_samples import Importance, rank_within
from detzoo.ops.boxes import pairwise_iou
from detzoo.samplers.base import Sampling
from detzoo.samplers.random import RandomSampler
from detzoo.structures import Assignment


@config
class ScoreRankSampler(RandomSampler):
    """Samples and weights negatives by score hierarchical local rank (Score-HLR).

    Among negatives that are refined to overlapping boxes, the one with the highest score has rank
    0. Those of rank 0 are preferred to all others, then those of rank 1, and so on; if there are
    too few, others are sampled at random. Positives are sampled at random.

    Args:
        importance: Weights of negatives by rank.
        min_score: Score above which a negative is ranked.
        match_iou: IoU at or above which boxes overlap.
    """

    importance: Importance = Importance(exponent=0.5)
    min_score: UnitFloat = 0.05
    match_iou: UnitFloat = 0.5

    def sample_ranked(
        self, assignment: Assignment, scores: Tensor, boxes: Tensor, losses: Tensor
    ) -> tuple[Sampling, Tensor]:
        """Samples from P assigned boxes by the highest ``scores`` (P,) of their classes, by the
        ``boxes`` (P, 4) that they are refined to, and the ``losses`` (P,) as background.

        Also returns the weight of each as background: (P,).
        """
        candidate = (assignment.is_background & (scores > self.min_score)).nonzero()[:, 0]
        rank = self._rank(boxes[candidate], scores[candidate])
        # Ranked negatives come before all others, whose priorities are below 1.
        priority = torch.rand_like(scores)
        priority[candidate] = 1 + len(candidate) - rank
        sampling = self.sample(assignment, priority)
        chosen = sampling.is_negative
        if len(candidate) == 0:
            return sampling, torch.ones_like(scores)
        # The number of ranks, so that the last one has a small positive weight.
        span = max(len(candidate), int(chosen.sum()))
        importance = torch.full_like(scores, torch.inf)
        importance[candidate] = (span - rank) / span
        least = torch.where(chosen, importance, torch.inf).amin()
        importance = torch.where(importance.isinf(), least, importance)
        return sampling, self.importance.weights(importance, losses, chosen)

    def _rank(self, boxes: Tensor, scores: Tensor) -> Tensor:
        """The rank (K,) of each box, from 0."""
        if len(boxes) == 0:
            return scores
        kept = nms(boxes, scores, self.match_iou)
        overlaps = pairwise_iou(boxes, boxes[kept]) >= self.match_iou
        best = overlaps.to(torch.uint8).argmax(1)
        best[kept] = torch.arange(len(kept), device=best.device)
        local = rank_within(scores, best)
        return rank_within(scores - local, torch.zeros_like(best))

    def negative_priority(
        self, assignment: Assignment, losses: Tensor | None, wanted: Tensor
    ) -> Tensor:
        assert losses is not None, "negatives are sampled by sample_ranked"
        return losses
