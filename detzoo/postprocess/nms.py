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
        """The same for the ``count`` best, with shapes that do not depend on the suppression.

        Candidates and indices with a negative score are padding.
        """


@config
class NMS(Suppression):
    """Greedy non-maximum suppression.

    Args:
        max_iou: Boxes with a higher IoU with a higher-scored box are dropped.
        class_agnostic: Whether boxes of different classes also suppress each other.
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
        max_iou: Scores of boxes with a higher IoU with a higher-scored box are decayed.
        min_score: Boxes whose decayed score is lower are dropped.
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
        sigma: Width of the Gaussian; smaller values decay scores more.
        min_score: Boxes whose decayed score is lower are dropped.
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
    """Fast NMS (https://arxiv.org/abs/1904.02689): dropped boxes also suppress others.

    Args:
        max_iou: Boxes with a higher IoU with a higher-scored box are dropped.
        max_per_group: Maximum number of boxes per group before NMS.
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
