"""Suppression of duplicate boxes, as value objects."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from detzoo.config import config
from detzoo.ops.nms import grouped_gaussian_soft_nms, grouped_nms, grouped_soft_nms
from detzoo.structures import Candidates


@config
class Suppression(ABC):
    """Removes duplicates among candidates, group by group."""

    @abstractmethod
    def __call__(self, candidates: Candidates) -> tuple[Tensor, Tensor]:
        """Indices of the kept candidates and their scores, by falling score."""


@config
class NMS(Suppression):
    """Greedy non-maximum suppression: drops boxes that overlap a better one by over ``max_iou``."""

    max_iou: float = 0.5

    def __call__(self, candidates: Candidates) -> tuple[Tensor, Tensor]:
        kept = grouped_nms(candidates.boxes, candidates.scores, candidates.group, self.max_iou)
        return kept, candidates.scores[kept]


@config
class SoftNMS(Suppression):
    """Linear soft-NMS (https://arxiv.org/abs/1704.04503)."""

    max_iou: float = 0.5
    min_score: float = 1e-3

    def __call__(self, candidates: Candidates) -> tuple[Tensor, Tensor]:
        return grouped_soft_nms(
            candidates.boxes, candidates.scores, candidates.group, self.max_iou, self.min_score
        )


@config
class GaussianSoftNMS(Suppression):
    """Soft-NMS whose factor falls as a Gaussian of the overlap, of variance ``sigma`` / 2."""

    sigma: float = 0.5
    min_score: float = 1e-3

    def __call__(self, candidates: Candidates) -> tuple[Tensor, Tensor]:
        return grouped_gaussian_soft_nms(
            candidates.boxes, candidates.scores, candidates.group, self.sigma, self.min_score
        )
