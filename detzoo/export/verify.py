"""Compares an exported detector with the original."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from detzoo.inference.predictor import Predictor
from detzoo.inference.result import Result
from detzoo.ops.boxes import pairwise_iou

# Detections whose order or survival rounding may decide are not those near the threshold.
MARGIN = 0.01


@dataclass(frozen=True)
class Difference:
    """How far the ``compared`` detections on ``images`` are apart at worst: ``score``, and ``box``
    in pixels. ``unmatched`` have no partner of their class at all."""

    images: int
    compared: int
    unmatched: int
    score: float
    box: float

    def __str__(self) -> str:
        text = (
            f"{self.compared} detections on {self.images} images: scores differ by at most "
            f"{self.score:.1e}, boxes by {self.box:.1e} pixels"
        )
        return text if not self.unmatched else f"{text}; {self.unmatched} have no partner"


def compare(
    original: Predictor, exported: Predictor, images: Sequence[np.ndarray], min_score: float
) -> Difference:
    """Matches the detections of both in ``images`` (H, W, 3: BGR) whose score is at least
    ``min_score``; a partner may have a score a little below."""
    below = max(min_score - MARGIN, 0.0)
    pairs = list(
        zip(
            original.predict(images, min_score=below),
            exported.predict(images, min_score=below),
        )
    )
    scores, boxes, unmatched = [], [], 0
    for one, other in (*pairs, *(pair[::-1] for pair in pairs)):
        for score, box in _partners(one, other, min_score):
            scores.append(score)
            boxes.append(box)
            unmatched += score > MARGIN
    return Difference(
        images=len(pairs),
        compared=len(scores),
        unmatched=unmatched,
        score=_worst(scores),
        box=_worst(boxes),
    )


def _partners(one: Result, other: Result, min_score: float) -> list[tuple[float, float]]:
    """For each detection, how far its nearest one of the same class is: in score, in box."""
    found = []
    overlaps = pairwise_iou(one.boxes, other.boxes)
    overlaps = torch.where(one.labels[:, None] == other.labels, overlaps, -1.0)
    for row in (one.scores >= min_score).nonzero()[:, 0].tolist():
        if not len(other) or float(overlaps[row].max()) < 0:
            found.append((float("inf"), float("inf")))
            continue
        # Of several in the same place, the one that is as sure.
        near = overlaps[row] >= overlaps[row].max() - 1e-3
        gap = torch.where(near, (other.scores - one.scores[row]).abs(), torch.inf)
        best = int(gap.argmin())
        distance = float((other.boxes[best] - one.boxes[row]).abs().max())
        found.append((float(gap[best]), distance))
    return found


def _worst(values: Iterable[float]) -> float:
    return max(values, default=0.0)
