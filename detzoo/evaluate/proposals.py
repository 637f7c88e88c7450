"""Recall of region proposals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detzoo.evaluate.coco import COCO_AREAS, EVERY_AREA, AreaRange
from detzoo.evaluate.evaluator import Evaluator
from detzoo.evaluate.ground_truth import GroundTruth
from detzoo.evaluate.metrics import Metrics
from detzoo.evaluate.overlaps import iou_of_boxes
from detzoo.evaluate.results import ImageResult

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
NOT_FOUND = np.iinfo(np.int64).max


class ProposalEvaluator(Evaluator):
    """Average recall of class-agnostic boxes over IoU .50:.95, computed in two ways.

    ``proposal/AR@N``, as reported for published region proposal networks: the N best proposals of
    an image are matched with objects in descending order of IoU. ``proposal_coco/AR@N``, as
    computed by the COCO tools without classes: each proposal, in descending order of score, is
    matched with the unmatched object that it overlaps most; also by area (``ARs@N``) at the largest
    N. Crowds are excluded from both, annotations marked ``ignore`` only from the first.
    """

    def __init__(
        self,
        ground_truth: GroundTruth,
        *,
        numbers: Sequence[int] = (100, 300, 1000),
        areas: Sequence[AreaRange] = COCO_AREAS,
    ) -> None:
        self.ground_truth = ground_truth
        self.numbers = tuple(sorted(numbers))
        self.areas = (EVERY_AREA, *areas)

    def score(self, results: Sequence[ImageResult]) -> Metrics:
        truth = self.ground_truth
        positions = truth.image_indices([result.image_id for result in results])
        counted = np.flatnonzero(~truth.is_crowd)
        counted = counted[np.argsort(truth.image[counted], kind="stable")]
        bounds = np.searchsorted(truth.image[counted], np.arange(len(truth.image_ids) + 1))
        # The IoU of each object with its proposal, by number of proposals.
        paired = np.zeros((len(self.numbers), len(truth)))
        # The rank of each object's proposal, by area and IoU threshold.
        area = truth.area
        in_area = np.stack([(area >= a.low) & (area <= a.high) for a in self.areas])
        rank = np.full((len(self.areas), len(IOU_THRESHOLDS), len(truth)), NOT_FOUND)
        for result, position in zip(results, positions):
            objects = counted[bounds[position] : bounds[position + 1]]
            best = np.argsort(-result.scores, kind="stable")[: self.numbers[-1]]
            iou = iou_of_boxes(truth.boxes[objects], result.boxes[best])
            rank[:, :, objects] = ranks_of_finders(iou, in_area[:, objects])
            judged = ~truth.is_ignored[objects]
            for n, number in enumerate(self.numbers):
                paired[n, objects[judged]] = pair_by_overlap(iou[judged, :number])
        return self._summarize(
            paired[:, ~truth.is_crowd & ~truth.is_ignored],
            rank[:, :, ~truth.is_crowd],
            in_area[:, ~truth.is_crowd],
        )

    def _summarize(self, paired: np.ndarray, rank: np.ndarray, in_area: np.ndarray) -> Metrics:
        values = {}
        for n, number in enumerate(self.numbers):
            is_found = paired[n] >= IOU_THRESHOLDS[:, None]
            values[f"proposal/AR@{number}"] = _recall(is_found)
        for number in self.numbers:
            values[f"proposal_coco/AR@{number}"] = _recall(rank[0][:, in_area[0]] < number)
        largest = self.numbers[-1]
        for a, area in enumerate(self.areas[1:], 1):
            name = f"proposal_coco/AR{area.name}@{largest}"
            values[name] = _recall(rank[a][:, in_area[a]] < largest)
        return Metrics(values, f"proposal/AR@{largest}")


def pair_by_overlap(iou: np.ndarray) -> np.ndarray:
    """Matches objects and proposals in descending order of IoU (G, P) -> (G,) IoU of each object's
    match, or 0."""
    objects, proposals = iou.shape
    paired = np.zeros(objects)
    if proposals == 0:
        return paired
    free = iou.copy()
    choice = free.argmax(1)  # each object's best unmatched proposal, and their IoU
    overlap = free.max(1)
    for _ in range(min(objects, proposals)):
        g = overlap.argmax()
        taken = choice[g]
        paired[g] = overlap[g]
        free[g] = free[:, taken] = overlap[g] = -1
        rivals = np.flatnonzero((choice == taken) & (overlap >= 0))
        choice[rivals] = free[rivals].argmax(1)
        overlap[rivals] = free[rivals].max(1)
    return paired


def ranks_of_finders(iou: np.ndarray, eligible: np.ndarray) -> np.ndarray:
    """Matches each proposal, in order, with the unmatched object that it overlaps most.

    ``iou`` (G, P), with proposals in descending order of score, and ``eligible`` (A, G), the
    objects of each area -> (A, T, G) rank of each object's proposal at each IoU threshold.
    """
    areas, objects = eligible.shape
    # Of objects with equal IoU, the COCO tools match the last.
    iou, eligible = iou[::-1], eligible[:, ::-1]
    thresholds = len(IOU_THRESHOLDS)
    rank = np.full((areas, thresholds, objects), NOT_FOUND)
    free = np.repeat(eligible[:, None], thresholds, 1)
    a, t = np.indices((areas, thresholds))
    p = -1
    while True:
        # The next proposal that reaches some IoU threshold with an unmatched object.
        needed = np.where(free, IOU_THRESHOLDS[:, None], np.inf).min((0, 1))
        is_finder = (iou[:, p + 1 :] >= needed[:, None]).any(0)
        if not is_finder.any():
            break
        p += 1 + is_finder.argmax()
        overlap = np.where(free, iou[:, p], -1.0)
        g = overlap.argmax(2)
        takes = overlap[a, t, g] >= IOU_THRESHOLDS
        a_taken, t_taken, g_taken = a[takes], t[takes], g[takes]
        rank[a_taken, t_taken, g_taken] = p
        free[a_taken, t_taken, g_taken] = False
    return rank[:, :, ::-1]


def _recall(is_found: np.ndarray) -> float:
    """The fraction of objects found (T, G), averaged over the thresholds."""
    return float(is_found.mean()) if is_found.size else float("nan")
