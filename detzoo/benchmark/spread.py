"""Many measured times as a few figures."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Spread:
    """Seconds: their median, mean, tenth and ninetieth percentile, and how many there were."""

    median: float
    mean: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Spread:
        """The figures of at least one time."""
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
