"""Non-maximum suppression, as value objects."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from detzoo.config import PositiveFloat, PositiveInt, UnitFloat, config
from detzoo.ops.nms import (
    best_by_decay,
    fast_nms_mask,
    gaussian,
    grouped_fast_nms,
    grouped_gaussian_soft_nms,
    grouped_nms,
    grouped_soft_nms,
    linear,
    nms_mask,
)
from detzoo.structures import Candidates


@config
class Suppression(ABC):
    """Suppresses duplicates among candidates of the same group."""

    @abstractmethod
    def __call__(self, candidates: Candidates) -> tuple[Tensor, Tensor]:
        """Indices and scores of the kept candidates, in descending order of score."""

    @abstractmethod
    def best(self, candidates: Candidates, count: int) -> tuple[Tensor, Tensor]:
        """Those of the ``count`` best: shapes do not depend on what is suppressed.

        Candidates with a negative score are padding, and so are indices with one.
        """


@config
class NMS(Suppression):
    """Greedy non-maximum suppression.

    Args:
        max_iou: Boxes that overlap a better one by more are dropped.
        class_agnostic: Whether boxes of different classes suppress each other too.
    """

    max_iou: UnitFloat = 0.5
    class_agnostic: bool = False

    def __call__(self, candidates: Candidates) -> tuple[Tensor, Tensor]:
        group = self._group(candidates)
        kept = grouped_nms(candidates.boxes, candidates.scores, group, self.max_iou)
        return kept, candidates.scores[kept]

    def _group(self, candidates: Candidates) -> Tensor:
        return torch.zeros_like(candidates.group) if self.class_agnostic else candidates.group

    def best(self, candidates: Candidates, count: int) -> tuple[Tensor, Tensor]:
        boxes, scores, group = candidates.boxes, candidates.scores, self._group(candidates)
        is_kept = nms_mask(boxes, scores, group, self.max_iou)
        scores, kept = torch.where(is_kept, scores, -1.0).topk(count)
        return kept, scores


@config
class SoftNMS(Suppression):
    """Linear Soft-NMS (https://arxiv.org/abs/1704.04503): multiplies scores by 1 - IoU.

    Args:
        max_iou: Scores of boxes that overlap a better one by more are lowered.
        min_score: Boxes whose score falls below it are dropped.
    """

    max_iou: UnitFloat = 0.5
    min_score: UnitFloat = 1e-3

    def __call__(self, candidates: Candidates) -> tuple[Tensor, Tensor]:
        return grouped_soft_nms(
            candidates.boxes, candidates.scores, candidates.group, self.max_iou, self.min_score
        )

    def best(self, candidates: Candidates, count: int) -> tuple[Tensor, Tensor]:
        boxes, scores, group = candidates.boxes, candidates.scores, candidates.group
        return best_by_decay(boxes, scores, group, linear(self.max_iou), self.min_score, count)


@config
class GaussianSoftNMS(Suppression):
    """Gaussian Soft-NMS (https://arxiv.org/abs/1704.04503): multiplies by exp(-IoU^2 / sigma).

    Args:
        sigma: Width of the Gaussian: the smaller, the more overlap lowers scores.
        min_score: Boxes whose score falls below it are dropped.
    """

    sigma: PositiveFloat = 0.5
    min_score: UnitFloat = 1e-3

    def __call__(self, candidates: Candidates) -> tuple[Tensor, Tensor]:
        return grouped_gaussian_soft_nms(
            candidates.boxes, candidates.scores, candidates.group, self.sigma, self.min_score
        )

    def best(self, candidates: Candidates, count: int) -> tuple[Tensor, Tensor]:
        boxes, scores, group = candidates.boxes, candidates.scores, candidates.group
        return best_by_decay(boxes, scores, group, gaussian(self.sigma), self.min_score, count)


@config
class FastNMS(Suppression):
    """Fast NMS (https://arxiv.org/abs/1904.02689): boxes that are dropped drop others, too.

    Args:
        max_iou: Boxes that overlap a better one by more are dropped.
        max_per_group: How many of the best boxes of each group are looked at.
    """

    max_iou: UnitFloat = 0.5
    max_per_group: PositiveInt = 200

    def __call__(self, candidates: Candidates) -> tuple[Tensor, Tensor]:
        kept = grouped_fast_nms(
            candidates.boxes,
            candidates.scores,
            candidates.group,
            self.max_iou,
            self.max_per_group,
        )
        return kept, candidates.scores[kept]

    def best(self, candidates: Candidates, count: int) -> tuple[Tensor, Tensor]:
        boxes, scores, group = candidates.boxes, candidates.scores, candidates.group
        is_kept = fast_nms_mask(boxes, scores, group, self.max_iou, self.max_per_group)
        scores, kept = torch.where(is_kept, scores, -1.0).topk(count)
        return kept, scores
