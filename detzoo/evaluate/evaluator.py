"""What every evaluator is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from detzoo.evaluate.metrics import Metrics
from detzoo.evaluate.results import ImageResult


class Evaluator(ABC):
    """Holds the ground truth; scoring depends on nothing but the results it is given."""

    @abstractmethod
    def score(self, results: Sequence[ImageResult]) -> Metrics:
        """The metrics of one result per image; an image without one counts as nothing found.

        Raises :class:`DataError` for a result of an image that the ground truth does not have.
        """
