"""The tolerances of the references' README, as functions that return what was found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FEATURES = 1e-4  # of the map's standard deviation
LOSSES = 1e-3  # relative
GRADIENTS = 1e-2  # relative, above a millionth of the largest norm
SCORE = 1e-3
IOU = 0.99
MATCHED = 0.99  # of the rows on each side
RECORDED = 300  # detections in a reference at most


@dataclass(frozen=True)
class Finding:
    """One comparison: the largest deviation, and what is wrong if anything is."""

    what: str
    deviation: float
    problem: str = ""

    @property
    def passed(self) -> bool:
        return not self.problem


def compare_features(what: str, ours: np.ndarray, theirs: np.ndarray) -> Finding:
    """Summaries (L, 2 + samples): mean, standard deviation, samples."""
    if ours.shape != theirs.shape:
        return Finding(what, np.inf, f"{len(ours)} maps instead of {len(theirs)}")
    deviation = np.abs(ours - theirs).max(1) / theirs[:, 1]
    worst = float(deviation.max())
    level = int(deviation.argmax())
    problem = f"level {level} deviates by {worst:.1e}" if not worst <= FEATURES else ""
    return Finding(what, worst, problem)


def compare_losses(ours: dict[str, float], theirs: dict[str, float]) -> Finding:
    """By name, without the metrics."""
    if set(ours) != set(theirs):
        return Finding("losses", np.inf, f"names {sorted(ours)} instead of {sorted(theirs)}")
    deviations = {k: abs(ours[k] - v) / max(abs(v), 1e-12) for k, v in theirs.items()}
    return _worst("losses", deviations, ours, theirs, LOSSES)


def compare_gradients(ours: dict[str, float], theirs: dict[str, float]) -> Finding:
    """Norms by parameter name."""
    if extra := set(ours) ^ set(theirs):
        return Finding("gradients", np.inf, f"only one side has {sorted(extra)[:3]}...")
    largest = max(theirs.values())
    deviations = {}
    for name, norm in theirs.items():
        difference = abs(ours[name] - norm)
        if norm > 1e-6 * largest:
            deviations[name] = difference / norm
        elif not difference <= 1e-8 * largest:
            return Finding("gradients", np.inf, f"{name}: {ours[name]:.3e}, not {norm:.3e}")
    return _worst("gradients", deviations, ours, theirs, GRADIENTS)


def _worst(
    what: str,
    deviations: dict[str, float],
    ours: dict[str, float],
    theirs: dict[str, float],
    tolerance: float,
) -> Finding:
    name = max(deviations, key=lambda k: deviations[k])
    worst = deviations[name]
    problem = "" if worst <= tolerance else f"{name}: {ours[name]:.6g}, not {theirs[name]:.6g}"
    return Finding(what, worst, problem)


def compare_detections(what: str, ours: np.ndarray, theirs: np.ndarray) -> Finding:
    """Rows (N, 6) label, score, box; the deviation is the share of rows without a partner."""
    pairs, problem = match_detections(ours, theirs)
    finite = [np.isfinite(rows).all(1).sum() for rows in (ours, theirs)]
    missing = max((1 - len(pairs) / max(n, 1) for n in finite), default=0.0)
    if not finite[0] and not finite[1]:
        missing = 0.0
    if not problem and missing > 1 - MATCHED:
        problem = f"{len(pairs)} of {finite[0]} and {finite[1]} rows have a partner"
    return Finding(what, float(missing), problem)


def match_detections(ours: np.ndarray, theirs: np.ndarray) -> tuple[list[tuple[int, int]], str]:
    """One-to-one partners, and what is wrong with the counts."""
    if len(theirs) < RECORDED:
        if abs(len(ours) - len(theirs)) > 0.01 * len(theirs):
            return [], f"{len(ours)} detections instead of {len(theirs)}"
    else:
        ours = ours[:RECORDED]
    pairs: list[tuple[int, int]] = []
    free = np.isfinite(theirs).all(1)
    for i, row in enumerate(ours):
        if not np.isfinite(row).all():
            continue
        fits = free & (theirs[:, 0] == row[0]) & (np.abs(theirs[:, 1] - row[1]) <= SCORE)
        gaps = np.abs(theirs[:, 2:] - row[2:])
        close = (gaps <= 0.01 + 1e-4 * np.abs(theirs[:, 2:])).all(1)
        fits &= close | (pairwise_iou(row[None, 2:], theirs[:, 2:])[0] > IOU)
        if fits.any():
            # The score decides between rows with the same box: SOLO's have none.
            distance = np.where(fits, gaps.sum(1) + np.abs(theirs[:, 1] - row[1]), np.inf)
            best = int(distance.argmin())
            free[best] = False
            pairs.append((i, best))
    return pairs, ""


def compare_mask_areas(
    ours: np.ndarray, theirs: np.ndarray, pairs: list[tuple[int, int]]
) -> Finding:
    """Pixels of each pair of detections' masks; the deviation is relative."""
    if not pairs:
        return Finding(
            "masks", 0.0 if not len(theirs) else np.inf, "" if not len(theirs) else "none"
        )
    a, b = (np.asarray(side, float) for side in zip(*[(ours[i], theirs[j]) for i, j in pairs]))
    gap = np.abs(a - b)
    wrong = gap > np.maximum(0.01 * b, 4)
    worst = float((gap / np.maximum(b, 1))[gap > 4].max(initial=0.0))
    problem = f"{wrong.sum()} of {len(pairs)} areas differ" if wrong.any() else ""
    return Finding("masks", worst, problem)


def compare_mask_scores(
    ours: np.ndarray, theirs: np.ndarray, pairs: list[tuple[int, int]]
) -> Finding:
    """Scores of each pair of detections' masks."""
    gaps = [abs(float(ours[i]) - float(theirs[j])) for i, j in pairs]
    worst = max(gaps, default=np.inf)
    problem = "" if worst <= SCORE else f"a score deviates by {worst:.1e}"
    return Finding("mask scores", worst, problem)


def pairwise_iou(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N, 4) and (M, 4) xyxy -> (N, M)."""
    low = np.maximum(ones[:, None, :2], others[:, :2])
    high = np.minimum(ones[:, None, 2:], others[:, 2:])
    common = (high - low).clip(0).prod(-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (ones, others)]
    union = areas[0][:, None] + areas[1] - common
    return common / np.maximum(union, 1e-9)
