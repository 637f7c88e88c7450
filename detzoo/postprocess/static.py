"""The selection of detections with fixed numbers of candidates and detections.

Shapes that depend on the image make a GPU wait for its host and cannot be exported to every
runtime. Here every image has the same number of candidates, of which those with a negative score
are padding.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from contextvars import ContextVar
from typing import cast

import torch
from torch import Tensor
from typing_extensions import Self

from detzoo.config import PositiveInt, config
from detzoo.losses.scoring import Scoring
from detzoo.ops.matrix_nms import matrix_decay
from detzoo.postprocess.matrix_nms import MaskPairs, MaskSelect
from detzoo.postprocess.select import Pairs, Select
from detzoo.structures import Candidates, Detections

# The score of what only fills up.
PADDING = -1.0
# How many candidates there are by default: boxes of an image (of a level in dense heads), and masks
# of a level, each as large as the image.
MAX_BOXES, MAX_MASKS = 1000, 100

# Where selections note what did not fit.
_left_out: ContextVar[list[Tensor] | None] = ContextVar("left_out", default=None)


@contextlib.contextmanager
def noting_left_out() -> Iterator[list[Tensor]]:
    """Inside, every selection adds to the list how many candidates above the threshold did not fit
    into it: scalars, image by image."""
    noted: list[Tensor] = []
    token = _left_out.set(noted)
    try:
        yield noted
    finally:
        _left_out.reset(token)


def best_above(scores: Tensor, min_score: float, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` highest of ``scores`` (N,), padding where they are not above ``min_score``, and
    their indices; at most N."""
    best, index = scores.topk(torch.sym_min(count, scores.shape[0]))
    return torch.where(best > min_score, best, PADDING), index


def _note(scores: Tensor, min_score: float, count: int) -> None:
    """Of ``scores`` (N,), the ``count`` highest are taken."""
    noted = _left_out.get()
    if noted is not None:
        noted.append(((scores > min_score).sum() - count).clamp(min=0))


@config
class StaticSelect(Select):
    """Selects as :class:`Select` does, among a fixed number of candidates.

    Args:
        max_candidates: How many candidates there are of an image, or of a level in dense heads; of
            more, those with the highest scores are taken.
    """

    max_candidates: PositiveInt = MAX_BOXES

    @classmethod
    def of(cls, select: Select, max_candidates: int) -> Self:
        """The static form of ``select``."""
        own = {f.name: getattr(select, f.name) for f in dataclasses.fields(Select)}
        return cls(**own, max_candidates=max_candidates)

    def pairs(self, scores: Tensor) -> Pairs:
        _note(scores.flatten(), self.min_score, self.max_candidates)
        return self._best(scores, self.max_candidates)

    def best_pairs(self, logits: Tensor, scoring: Scoring) -> Pairs:
        scores = scoring.scores(logits.float())
        # What is beyond the recipe's own limit does not count as left out.
        return self.pairs(scores) if self.pre_nms is None else self._best(scores, self.pre_nms)

    def _best(self, scores: Tensor, count: int) -> Pairs:
        best, index = best_above(scores.flatten(), self.min_score, count)
        return index // scores.shape[1], index % scores.shape[1], best

    def keep(self, candidates: Candidates, is_kept: Tensor) -> Candidates:
        scores = torch.where(is_kept, candidates.scores, PADDING)
        return dataclasses.replace(candidates, scores=scores)

    def of_regions(self, scores: Tensor, regions: Detections) -> Tensor:
        return torch.where(regions.scores[:, None] >= 0, scores, PADDING)

    def choose(self, candidates: Candidates) -> tuple[Tensor, Tensor]:
        number = candidates.scores.shape[0]
        most = number if self.max_detections is None else self.max_detections
        return self.suppression.best(candidates, cast(int, torch.sym_min(most, number)))


@config
class StaticMaskSelect(MaskSelect):
    """Selects as :class:`MaskSelect` does, among a fixed number of candidates.

    Args:
        max_candidates: How many candidates there are of a level; of more, those with the highest
            scores are taken.
    """

    max_candidates: PositiveInt = MAX_MASKS

    @classmethod
    def of(cls, select: MaskSelect, max_candidates: int) -> Self:
        """The static form of ``select``."""
        own = {f.name: getattr(select, f.name) for f in dataclasses.fields(MaskSelect)}
        return cls(**own, max_candidates=max_candidates)

    def pairs(self, scores: Tensor) -> MaskPairs:
        flat, classes = scores.flatten(), scores.shape[1]
        _note(flat, self.min_score, self.max_candidates)
        best, index = best_above(flat, self.min_score, self.max_candidates)
        cell, label = index // classes, index % classes
        number = min(best.shape[0], scores.shape[0])
        every = torch.arange(number, device=best.device)
        if number == scores.shape[0]:  # no more masks than cells, which may have several candidates
            return MaskPairs(every, cell, label, best)
        return MaskPairs(cell, every, label, best)

    def keep(self, pairs: MaskPairs, is_kept: Tensor) -> MaskPairs:
        return pairs._replace(scores=torch.where(is_kept, pairs.scores, PADDING))

    def __call__(
        self, masks: Tensor, mask: Tensor, scores: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        # Padding comes last, so it lowers no scores.
        scores, order = scores.topk(torch.sym_min(self.pre_nms, scores.shape[0]))
        scores = scores * matrix_decay(masks[mask[order]], labels[order], self.suppression.sigma)
        scores = torch.where(scores >= self.suppression.min_score, scores, PADDING)
        scores, again = scores.topk(torch.sym_min(self.max_detections, scores.shape[0]))
        return order[again], scores
