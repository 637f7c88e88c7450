"""Average precision as in the Open Images Challenge.

Defined by https://storage.googleapis.com/openimages/web/evaluation.html, and by the class
``OpenImagesChallengeEvaluator`` of TensorFlow's Object Detection API.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from detzoo.errors import DataError
from detzoo.evaluate.evaluator import Evaluator
from detzoo.evaluate.ground_truth import GroundTruth
from detzoo.evaluate.metrics import Metrics
from detzoo.evaluate.overlaps import coverage_of_boxes, iou_of_boxes
from detzoo.evaluate.results import ImageResult
from detzoo.evaluate.voc import area_under_curve, mean_of_defined


class OpenImagesEvaluator(Evaluator):
    """AP per class and its mean, for images that are not annotated for every class.

    An object belongs to its class and to all above it in the hierarchy, and so does a detection.
    Detections are scored only for classes of which the image has a box or an image-level label;
    others are ignored. Each is matched with the object of its class that it overlaps most; the
    first one with an IoU of at least ``iou_threshold`` is a true positive. One that is none may lie
    in a group of objects (a crowd): at least ``coverage_threshold`` of its area. The best of those
    in a group is a true positive, and the others are ignored. A group counts as one object.
    Detections of objects that are to be ignored are ignored. AP is the area under the monotone
    precision-recall curve; classes without objects are NaN and excluded from the mean.

    Image-level labels are taken as they are, as for the published models. For the challenge, its
    scripts expand them first: the absence of a class is that of all below it.
    """

    def __init__(
        self,
        ground_truth: GroundTruth,
        class_names: Sequence[str],
        *,
        iou_threshold: float = 0.5,
        coverage_threshold: float = 0.5,
    ) -> None:
        labels = ground_truth.open_images
        if labels is None:
            raise DataError(
                f"{ground_truth.source}: has no image-level labels and no hierarchy of classes, "
                "since it is not in the format of Open Images; use COCO's metric (--metric coco)"
            )
        self.ground_truth = ground_truth
        self.labels_of_detector = ground_truth.labels_of(class_names)
        self.scored = ground_truth.shared_labels(class_names)
        self.iou_threshold = iou_threshold
        self.coverage_threshold = coverage_threshold
        classes = range(len(ground_truth.class_names))
        self._lineages = [np.array([c, *labels.ancestors[c]], np.int64) for c in classes]
        self._objects = self._expanded_objects()
        # Of each image, the classes that were looked for.
        self._verified = [
            np.union1d(labels.verified[i], self._objects[i].label)
            for i in range(len(ground_truth.image_ids))
        ]

    def score(self, results: Sequence[ImageResult]) -> Metrics:
        found = self._match(results)
        # The detections of each class lie together, best first.
        found = found[np.lexsort((-found.score, found.label))]
        bounds = np.searchsorted(found.label, np.arange(len(self.ground_truth.class_names) + 1))
        name = f"openimages/AP{round(self.iou_threshold * 100)}"
        by_class = {
            self.ground_truth.class_names[label]: self._average_precision(
                found[bounds[label] : bounds[label + 1]], label
            )
            for label in self.scored
        }
        return Metrics({name: mean_of_defined(list(by_class.values()))}, name, {name: by_class})

    def _expanded_objects(self) -> list[_Objects]:
        """Those of each image, once for each class that they belong to."""
        truth = self.ground_truth
        row, label = self._expand(truth.label)
        order = np.argsort(truth.image[row], kind="stable")
        row, label = row[order], label[order]
        bounds = np.searchsorted(truth.image[row], np.arange(len(truth.image_ids) + 1))
        counted = ~truth.is_ignored[row]
        self._num_objects = np.bincount(label[counted], minlength=len(truth.class_names))
        self._is_ignored = np.append(~counted, False)  # the last one is no object
        is_group = truth.is_crowd[row] & counted
        objects = _Objects(np.arange(len(row)), label, truth.boxes[row], is_group)
        return [objects[start:end] for start, end in pairwise(bounds)]

    def _expand(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N,) labels -> (M,) their rows and all that they belong to."""
        lineages = [self._lineages[label] for label in labels.tolist()]
        counts = [len(lineage) for lineage in lineages]
        none = np.zeros(0, np.int64)
        return np.repeat(np.arange(len(labels)), counts), np.concatenate([none, *lineages])

    def _match(self, results: Sequence[ImageResult]) -> _Matches:
        positions = self.ground_truth.image_indices([result.image_id for result in results])
        parts = [_Matches.none()]
        for i in np.argsort(positions, kind="stable"):
            own = self.labels_of_detector[results[i].labels]
            known = np.flatnonzero(own >= 0)
            row, label = self._expand(own[known])
            row = known[row]
            is_verified = np.isin(label, self._verified[positions[i]])
            row, label = row[is_verified], label[is_verified]
            objects = self._objects[positions[i]]
            boxes = results[i].boxes[row]
            single, groups = objects[~objects.is_group], objects[objects.is_group]
            iou = iou_of_boxes(boxes, single.boxes)
            coverage = coverage_of_boxes(boxes, groups.boxes)
            object_, best_iou = _best(iou, label, single)
            group, best_coverage = _best(coverage, label, groups)
            parts.append(
                _Matches(
                    label,
                    results[i].scores[row],
                    object_,
                    best_iou >= self.iou_threshold,
                    group,
                    best_coverage >= self.coverage_threshold,
                )
            )
        return _Matches.join(parts)

    def _average_precision(self, found: _Matches, label: int) -> float:
        count = int(self._num_objects[label])
        if count == 0:
            return float("nan")
        excused = found.is_hit & self._is_ignored[found.object]
        right = _first_of_each(found.object, found.is_hit & ~excused)
        in_group = found.is_in_group & ~right & ~excused
        best_in_group = _first_of_each(found.group, in_group)
        counted = ~excused & (~in_group | best_in_group)
        hits = np.cumsum((right | best_in_group)[counted])
        return area_under_curve(hits / count, hits / np.arange(1, len(hits) + 1))


def _best(
    overlap: np.ndarray, label: np.ndarray, objects: _Objects
) -> tuple[np.ndarray, np.ndarray]:
    """The id (N,) of the object that each detection overlaps most, of those of its class, and how
    much; -1 and -1 if there is none."""
    if len(objects) == 0:
        return np.full(len(label), -1), np.full(len(label), -1.0)
    overlap = np.where(label[:, None] == objects.label, overlap, -1.0)
    best = overlap.argmax(1)
    most = overlap[np.arange(len(label)), best]
    return np.where(most >= 0, objects.id[best], -1), most


def _first_of_each(object_: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """(N,) which of the ``candidates`` (N,) are the first with their object."""
    is_first = np.zeros(len(object_), bool)
    rows = np.flatnonzero(candidates)
    is_first[rows[np.unique(object_[rows], return_index=True)[1]]] = True
    return is_first


@dataclass(frozen=True)
class _Objects:
    """Objects in a class each, with the number ``id`` in the whole ground truth."""

    id: np.ndarray
    label: np.ndarray
    boxes: np.ndarray
    is_group: np.ndarray

    def __len__(self) -> int:
        return len(self.id)

    def __getitem__(self, rows: slice | np.ndarray) -> _Objects:
        return _Objects(*(column[rows] for column in vars(self).values()))


@dataclass(frozen=True)
class _Matches:
    """Detections, with the object and the group that each overlaps most, or -1, and whether it
    overlaps them enough."""

    label: np.ndarray
    score: np.ndarray
    object: np.ndarray
    is_hit: np.ndarray
    group: np.ndarray
    is_in_group: np.ndarray

    @classmethod
    def none(cls) -> _Matches:
        number, truth = np.zeros(0, np.int64), np.zeros(0, bool)
        return cls(number, np.zeros(0), number, truth, number, truth)

    @classmethod
    def join(cls, parts: Sequence[_Matches]) -> _Matches:
        columns = zip(*(vars(part).values() for part in parts))
        return cls(*(np.concatenate(column) for column in columns))

    def __getitem__(self, rows: slice | np.ndarray) -> _Matches:
        return _Matches(*(column[rows] for column in vars(self).values()))
