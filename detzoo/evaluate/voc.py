"""Average precision as computed by the Pascal VOC development kit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from detzoo.evaluate.evaluator import Evaluator
from detzoo.evaluate.ground_truth import GroundTruth
from detzoo.evaluate.metrics import Metrics
from detzoo.evaluate.overlaps import iou_of_boxes
from detzoo.evaluate.results import ImageResult


class VocEvaluator(Evaluator):
    """AP per class and its mean at each IoU threshold, and the mean over several thresholds.

    ``method`` "area" is the area under the monotone precision-recall curve (VOC2010 and later),
    "11points" the mean of its values at recall 0, .1, ..., 1 (VOC2007). A detection is matched with
    the object of its class that it overlaps most; the first one is a true positive, later ones are
    false positives, and those on ignored objects (difficult, crowd) are not counted. Boxes include
    their last pixel, so sides are ``x2 - x1 + 1``, as in the development kit and for the published
    models. Classes without objects are NaN and excluded from the mean.
    """

    def __init__(
        self,
        ground_truth: GroundTruth,
        class_names: Sequence[str],
        *,
        method: Literal["area", "11points"] = "area",
        iou_thresholds: Sequence[float] = (0.5,),
    ) -> None:
        self.ground_truth = ground_truth
        self.labels_of_detector = ground_truth.labels_of(class_names)
        self.scored = ground_truth.shared_labels(class_names)
        self.excused = ground_truth.is_ignored | ground_truth.is_crowd
        self.average = {"area": area_under_curve, "11points": eleven_points}[method]
        self.iou_thresholds = tuple(iou_thresholds)

    def score(self, results: Sequence[ImageResult]) -> Metrics:
        matches = self._match(results)
        per_class = {
            f"voc/AP{round(threshold * 100)}": {
                self.ground_truth.class_names[label]: self._average_precision(
                    matches, label, threshold
                )
                for label in self.scored
            }
            for threshold in self.iou_thresholds
        }
        values = {
            name: mean_of_defined(list(by_class.values())) for name, by_class in per_class.items()
        }
        if len(values) > 1:
            values = {"voc/AP": mean_of_defined(list(values.values())), **values}
        return Metrics(values, next(iter(values)), per_class)

    def _match(self, results: Sequence[ImageResult]) -> _Matches:
        truth = self.ground_truth
        # Of objects with equal overlap, those that are not ignored come first.
        order = np.lexsort((self.excused, truth.image))
        bounds = np.searchsorted(truth.image[order], np.arange(len(truth.image_ids) + 1))
        positions = truth.image_indices([result.image_id for result in results])
        parts = [_Matches.none()]
        for i in np.argsort(positions, kind="stable"):
            objects = order[bounds[positions[i]] : bounds[positions[i] + 1]]
            labels = self.labels_of_detector[results[i].labels]
            iou = iou_of_boxes(results[i].boxes, truth.boxes[objects], last_pixel=1.0)
            iou = np.where(labels[:, None] == truth.label[objects], iou, 0)
            if len(objects) == 0:
                objects, iou = np.array([-1]), np.zeros((len(labels), 1))
            best = iou.argmax(1)
            parts.append(_Matches(labels, results[i].scores, objects[best], iou.max(1)))
        return _Matches.join(parts).by_score()

    def _average_precision(self, matches: _Matches, label: int, threshold: float) -> float:
        count = int(((self.ground_truth.label == label) & ~self.excused).sum())
        if count == 0:
            return float("nan")
        mine = matches.label == label
        hits = matches.iou[mine] >= threshold
        objects = matches.object[mine]
        on_excused = hits & np.append(self.excused, False)[objects]
        # The first detection of each object is a true positive: np.unique returns its position.
        is_right = np.zeros(len(objects), bool)
        candidates = np.flatnonzero(hits & ~on_excused)
        is_right[candidates[np.unique(objects[candidates], return_index=True)[1]]] = True
        counted = ~on_excused
        right = np.cumsum(is_right[counted])
        number = np.arange(1, len(right) + 1)
        return self.average(right / count, right / number)


@dataclass(frozen=True)
class _Matches:
    """The detections of all images: ``object`` is the annotation of their class that each overlaps
    most, or -1 in an image without objects; ``iou`` is 0 if no object has the class."""

    label: np.ndarray
    score: np.ndarray
    object: np.ndarray
    iou: np.ndarray

    @classmethod
    def none(cls) -> _Matches:
        return cls(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64), np.zeros(0))

    @classmethod
    def join(cls, parts: Sequence[_Matches]) -> _Matches:
        return cls(
            np.concatenate([part.label for part in parts]),
            np.concatenate([part.score for part in parts]),
            np.concatenate([part.object for part in parts]),
            np.concatenate([part.iou for part in parts]),
        )

    def by_score(self) -> _Matches:
        order = np.argsort(-self.score, kind="stable")
        return _Matches(self.label[order], self.score[order], self.object[order], self.iou[order])


def area_under_curve(recall: np.ndarray, precision: np.ndarray) -> float:
    """Area under the precision-recall curve (N,), N (), with precision made monotone."""
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0.0) * highest).sum())


def eleven_points(recall: np.ndarray, precision: np.ndarray) -> float:
    """Mean of the maximum precision (N,) at recall (N,) of at least 0, .1, ..., 1."""
    # Multiples of the float .1, as in the original: a recall of 3/10 is below the fourth.
    best = [precision[recall >= level].max(initial=0.0) for level in np.arange(11) * 0.1]
    return float(np.mean(best))


def mean_of_defined(values: Sequence[float]) -> float:
    """The mean of the values that are not NaN; NaN if there are none."""
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")
