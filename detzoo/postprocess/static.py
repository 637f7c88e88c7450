"""The selection of detections with fixed numbers of candidates and detections.

Shapes that depend on the image make a GPU wait for its host and cannot be exported to every
runtime. Here every image has the same number of candidates, of which those with a negative score
are padding.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from typing_extensions import Self

from detzoo.config import PositiveInt, config
from detzoo.losses.scoring import Scoring
from detzoo.postprocess.select import Pairs, Select
from detzoo.structures import Candidates, Detections

# The score of what only fills up.
PADDING = -1.0


@config
class StaticSelect(Select):
    """Selects as :class:`Select` does, among a fixed number of candidates.

    Args:
        max_candidates: How many candidates there are of an image, or of a level in dense heads; of
            more, those with the highest scores are taken.
    """

    max_candidates: PositiveInt = 1000

    @classmethod
    def of(cls, select: Select, max_candidates: int) -> Self:
        """The static form of ``select``."""
        own = {f.name: getattr(select, f.name) for f in dataclasses.fields(Select)}
        return cls(**own, max_candidates=max_candidates)

    def pairs(self, scores: Tensor) -> Pairs:
        best, index = scores.flatten().topk(min(self.max_candidates, scores.numel()))
        best = torch.where(best > self.min_score, best, PADDING)
        return index // scores.shape[1], index % scores.shape[1], best

    def best_pairs(self, logits: Tensor, scoring: Scoring) -> Pairs:
        scores = scoring.scores(logits.float())
        if self.pre_nms is None:
            return self.pairs(scores)
        return dataclasses.replace(self, max_candidates=self.pre_nms).pairs(scores)

    def keep(self, candidates: Candidates, is_kept: Tensor) -> Candidates:
        scores = torch.where(is_kept, candidates.scores, PADDING)
        return dataclasses.replace(candidates, scores=scores)

    def of_regions(self, scores: Tensor, regions: Detections) -> Tensor:
        return torch.where(regions.scores[:, None] >= 0, scores, PADDING)

    def choose(self, candidates: Candidates) -> tuple[Tensor, Tensor]:
        count = min(self.max_detections or len(candidates), len(candidates))
        return self.suppression.best(candidates, count)
