"""Summary statistics of measured times."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Spread:
    """Seconds: median, mean, 10th and 90th percentile, and the number of measurements."""

    median: float
    mean: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Spread:
        """The statistics of at least one measurement."""
        ordered = sorted(seconds)
        last = len(ordered) - 1
        return cls(
            median=statistics.median(ordered),
            mean=statistics.fmean(ordered),
            low=ordered[round(0.1 * last)],
            high=ordered[round(0.9 * last)],
            count=len(ordered),
        )

    def to_json(self) -> dict[str, float | int]:
        return asdict(self)
