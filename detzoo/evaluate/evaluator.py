"""The interface of every evaluator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from detzoo.evaluate.metrics import Metrics
from detzoo.evaluate.results import ImageResult


class Evaluator(ABC):
    """Holds the ground truth; ``score`` depends only on it and on the results."""

    @abstractmethod
    def score(self, results: Sequence[ImageResult]) -> Metrics:
        """Computes the metrics of one result per image; images without a result have no detections.

        Raises :class:`DataError` for results of images that the ground truth does not contain.
        """
