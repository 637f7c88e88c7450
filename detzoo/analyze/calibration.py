"""Whether a score of .8 means that eight of ten such detections are right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detzoo.analyze.matches import IOU_THRESHOLDS, Matches

BINS = 10
LAECE_BINS = 25


@dataclass(frozen=True)
class Calibration:
    """Detections in ``BINS`` bins of equal width: how many, their mean score, and the part of them
    that is right at an IoU of .5 (NaN in an empty bin).

    ``d_ece`` is the expected calibration error of detections over their score (Küppers et al.,
    https://arxiv.org/abs/2004.13546); ``la_ece`` compares the score with precision times IoU, by
    class (Oksuz et al., https://arxiv.org/abs/2307.00934), where right means an IoU of .5.
    """

    counts: np.ndarray
    scores: np.ndarray
    precision: np.ndarray
    d_ece: float
    la_ece: float


def calibration(matches: Matches) -> Calibration:
    """The calibration of all detections that are not ignored."""
    kept = ~matches.is_ignored[0]
    score, right = matches.score[kept], matches.is_true[kept]
    # The IoU of a detection with its own object: that of its match where it has one.
    iou = np.where(right, np.maximum(matches.own_iou[kept], IOU_THRESHOLDS[0]), 0.0)
    counts, scores, precision = _binned(score, right.astype(float), BINS)
    gaps = np.abs(np.nan_to_num(scores - precision))
    d_ece = float((counts * gaps).sum() / max(counts.sum(), 1))
    errors = []
    for label in np.unique(matches.object_label).tolist():
        own = matches.label[kept] == label
        if not own.any():
            continue
        # Precision times the mean IoU of the right ones is the mean over all, with 0 for the wrong.
        number, mean_score, quality = _binned(score[own], iou[own], LAECE_BINS)
        errors.append((number * np.abs(np.nan_to_num(mean_score - quality))).sum() / number.sum())
    la_ece = float(np.mean(errors)) if errors else float("nan")
    return Calibration(counts, scores, precision, d_ece, la_ece)


def _binned(
    score: np.ndarray, value: np.ndarray, bins: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(bins,) the number in each bin of scores, and the means of score and value there."""
    place = np.minimum((score * bins).astype(int), bins - 1)
    counts = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = (np.bincount(place, of, bins) / counts for of in (score, value))
        mean_score, mean_value = means
    return counts, mean_score, mean_value
