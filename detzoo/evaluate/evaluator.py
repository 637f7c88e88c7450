"""The interface of evaluators."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from detzoo.evaluate.metrics import Metrics
from detzoo.evaluate.results import ImageResult


class Evaluator(ABC):
    """Base class of evaluators, which hold the ground truth and score results against it."""

    @abstractmethod
    def score(self, results: Sequence[ImageResult]) -> Metrics:
        """Computes the metrics of one result per image; images without a result have no detections.

        Raises :class:`DataError` for results of images that the ground truth does not contain.
        """
