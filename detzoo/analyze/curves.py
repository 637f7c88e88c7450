"""Precision and recall over the score, and the score that balances them best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detzoo.analyze.matches import Matches

RECALL_LEVELS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Curve:
    """Precision, recall and F1 at an IoU of .5 if detections from ``scores`` (K,) on are kept, the
    highest first. ``num_objects`` are to be found."""

    scores: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    num_objects: int

    @property
    def f1(self) -> np.ndarray:
        total = self.precision + self.recall
        return np.divide(
            2 * self.precision * self.recall, total, out=np.zeros(len(total)), where=total > 0
        )

    @property
    def best(self) -> int | None:
        """The index with the highest F1; None where nothing is right."""
        return int(self.f1.argmax()) if len(self.scores) and self.f1.max() > 0 else None

    @property
    def threshold(self) -> float | None:
        """The score with the highest F1, rounded down so that it keeps that detection."""
        return None if self.best is None else float(np.floor(self.scores[self.best] * 1e4)) / 1e4


def curve(matches: Matches, label: int | None = None) -> Curve:
    """The curve of one class, or of all detections together."""
    of_class = np.ones(len(matches.score), bool) if label is None else matches.label == label
    kept = of_class & ~matches.is_ignored[0]
    count = len(matches.objects) if label is None else int((matches.object_label == label).sum())
    right = np.cumsum(matches.is_true[kept])
    scores = matches.score[kept]
    # Detections of equal score are kept or dropped together.
    last = np.append(scores[1:] != scores[:-1], True)[: len(scores)]
    total = np.arange(1, len(scores) + 1)
    recall = right / count if count else np.zeros(len(right))
    return Curve(scores[last], (right / total)[last], recall[last], count)


def average_precision(is_right: np.ndarray, count: float, weights: np.ndarray) -> np.ndarray:
    """COCO's average precision (T,) of K detections in order of score.

    ``is_right`` (T, K) at each IoU threshold, ``weights`` (T, K) of the detections (0: ignored),
    and ``count``, the total weight of the objects to be found. NaN where there are none.
    """
    if count <= 0:
        return np.full(len(is_right), np.nan)
    right = np.cumsum(is_right * weights, axis=1)
    total = np.cumsum(weights, axis=1)
    recall = right / count
    precision = np.divide(right, total, out=np.zeros_like(right), where=total > 0)
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    result = np.zeros(len(is_right))
    for t in range(len(is_right)):
        at = np.searchsorted(recall[t], RECALL_LEVELS, side="left")
        reached = at < recall.shape[1]
        result[t] = precision[t, at[reached]].sum() / len(RECALL_LEVELS)
    return result
