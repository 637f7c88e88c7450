"""How far metrics would move with other images of the same kind: the bootstrap over images
(Efron and Tibshirani, An Introduction to the Bootstrap, 1993)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detzoo.analyze.curves import average_precision
from detzoo.analyze.matches import Matches

RESAMPLES = 300
METRICS = ("AP", "AP50", "AP75")


@dataclass(frozen=True)
class Interval:
    """A value and the middle ``level`` of what it is over resampled images."""

    value: float
    low: float
    high: float
    level: float = 0.95

    @classmethod
    def of(cls, value: float, samples: np.ndarray, level: float = 0.95) -> Interval:
        samples = samples[~np.isnan(samples)]
        if not len(samples):
            return cls(value, float("nan"), float("nan"), level)
        tail = (1 - level) / 2
        low, high = np.quantile(samples, [tail, 1 - tail])
        return cls(value, float(low), float(high), level)


@dataclass(frozen=True)
class Difference:
    """How much higher a metric of the second run is, and how often resampling turns that round.

    ``p_value`` is two-sided, by the percentile method.
    """

    interval: Interval
    p_value: float


def image_weights(num_images: int, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """(R + 1, I) how often each image is drawn; the first row is all images, once each."""
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(num_images, np.full(num_images, 1 / max(num_images, 1)), resamples)
    return np.concatenate([np.ones((1, num_images)), drawn])


def metric_samples(matches: Matches, weights: np.ndarray) -> dict[str, np.ndarray]:
    """AP, AP50 and AP75 (R + 1,) of each row of ``weights``: averages over the classes that have
    objects there. The first, of all images, is COCO's."""
    sums = {name: np.zeros(len(weights)) for name in METRICS}
    counts = np.zeros(len(weights))
    for label in np.unique(matches.object_label).tolist():
        rows = np.flatnonzero(matches.label == label)
        is_right, is_kept = matches.is_right[:, rows], ~matches.is_ignored[:, rows]
        images = matches.image[rows]
        objects = matches.object_image[matches.object_label == label]
        for r, drawn in enumerate(weights):
            precision = average_precision(
                is_right, float(drawn[objects].sum()), is_kept * drawn[images]
            )
            if np.isnan(precision[0]):
                continue
            counts[r] += 1
            for name, value in zip(METRICS, (precision.mean(), precision[0], precision[5])):
                sums[name][r] += value
    with np.errstate(invalid="ignore"):
        return {name: total / np.where(counts > 0, counts, np.nan) for name, total in sums.items()}


def intervals(samples: dict[str, np.ndarray]) -> dict[str, Interval]:
    """Each metric of all images, with its interval."""
    return {name: Interval.of(float(values[0]), values[1:]) for name, values in samples.items()}


def difference(first: np.ndarray, second: np.ndarray) -> Difference:
    """Of two runs on the same resampled images (see :func:`metric_samples`)."""
    gaps = second - first
    samples = gaps[1:][~np.isnan(gaps[1:])]
    if not len(samples):
        return Difference(Interval.of(float(gaps[0]), samples), float("nan"))
    tail = min((samples <= 0).mean(), (samples >= 0).mean())
    # No more can be said than that none of so many resamples turned it round.
    p_value = min(1.0, 2 * max(float(tail), 1 / (len(samples) + 1)))
    return Difference(Interval.of(float(gaps[0]), samples), p_value)
