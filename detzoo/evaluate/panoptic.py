"""Panoptic quality (https://arxiv.org/abs/1801.00868)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from typing_extensions import Self

from detzoo.data.panoptic import read_ids
from detzoo.errors import DataError
from detzoo.evaluate.evaluator import Evaluator
from detzoo.evaluate.ground_truth import GroundTruth, PanopticTruth
from detzoo.evaluate.metrics import Metrics
from detzoo.evaluate.results import ImageResult
from detzoo.structures import VOID


@dataclass
class Counts:
    """Of C classes (C,): the matched pairs, the sum of their IoUs, and what has no match."""

    iou: np.ndarray
    true_positives: np.ndarray
    false_positives: np.ndarray
    false_negatives: np.ndarray

    @classmethod
    def zero(cls, num_classes: int) -> Counts:
        return cls(*(np.zeros(num_classes) for _ in range(4)))

    def __iadd__(self, other: Counts) -> Self:
        self.iou += other.iou
        self.true_positives += other.true_positives
        self.false_positives += other.false_positives
        self.false_negatives += other.false_negatives
        return self

    def qualities(self) -> dict[str, np.ndarray]:
        """PQ, SQ and RQ (C,): NaN for classes that neither side has."""
        matched = self.true_positives
        members = matched + (self.false_positives + self.false_negatives) / 2
        with np.errstate(invalid="ignore"):
            quality = self.iou / members
            segmentation = np.where(matched > 0, self.iou / matched.clip(1), quality)
            return {"PQ": quality, "SQ": segmentation, "RQ": matched / members}


class PanopticEvaluator(Evaluator):
    """Panoptic, segmentation and recognition quality over all classes, things and stuff.

    A segment of the ground truth and one of the detector's are a match if their class is the same
    and their IoU, without void pixels, is above 0.5. As in the official tool (panopticapi), crowds
    need not be found, and segments that are not matched are no false positives if more than half of
    their pixels are void or of a crowd of their class. Of several crowds of a class in an image,
    the last counts. Classes are matched by name, and those that only one side knows are not scored.
    A class that occurs on neither side is NaN and excluded from averages.
    """

    def __init__(
        self, ground_truth: GroundTruth, class_names: Sequence[str], stuff_names: Sequence[str]
    ) -> None:
        if not ground_truth.panoptic:
            raise DataError(
                f"{ground_truth.source}: has no panoptic maps, which panoptic quality needs. Give "
                "panoptic annotations in COCO's format, or take another metric (--metric coco)."
            )
        self.ground_truth = ground_truth
        self.names = (*ground_truth.class_names, *ground_truth.stuff_names)
        self.num_things = len(ground_truth.class_names)
        things = ground_truth.labels_of(class_names)
        place = {name: self.num_things + k for k, name in enumerate(ground_truth.stuff_names)}
        stuff = [place.get(name, -1) for name in stuff_names]
        self.labels_of_detector = np.array([*things.tolist(), *stuff], np.int64)
        self.scored = sorted({label for label in self.labels_of_detector.tolist() if label >= 0})

    def score(self, results: Sequence[ImageResult]) -> Metrics:
        by_image = {result.image_id: result for result in results}
        self.ground_truth.image_indices(list(by_image))
        found = [by_image.get(image_id) for image_id in self.ground_truth.image_ids]
        counts = Counts.zero(len(self.names))
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            for one in threads.map(self._compare, self.ground_truth.panoptic, found):
                counts += one
        return self._metrics(counts)

    def _compare(self, truth: PanopticTruth, result: ImageResult | None) -> Counts:
        """The counts of one image."""
        counts = Counts.zero(len(self.names))
        if result is None:
            np.add.at(counts.false_negatives, truth.labels[~truth.is_crowd], 1)
        else:
            wanted = read_ids(truth.file)
            count(counts, wanted, truth, *self._segments_of(result, wanted.shape))
        return counts

    def _segments_of(
        self, result: ImageResult, shape: tuple[int, ...]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The detector's ids (H, W) and their labels (S,) in the ground truth."""
        if result.panoptic is None:
            raise DataError(
                f"the detections in image {result.image_id!r} are no panoptic map, which panoptic "
                "quality needs; use a panoptic model, or another metric (--metric coco)"
            )
        ids = result.panoptic.ids()
        if ids.shape != shape:
            raise DataError(
                f"the panoptic map of image {result.image_id!r} is {ids.shape[1]} x "
                f"{ids.shape[0]} pixels (width x height), and that of the ground truth "
                f"{shape[1]} x {shape[0]}; give the maps of the same images"
            )
        return ids, self.labels_of_detector[result.panoptic.labels]

    def _metrics(self, counts: Counts) -> Metrics:
        qualities = counts.qualities()
        kinds = {
            "panoptic": self.scored,
            "things": [label for label in self.scored if label < self.num_things],
            "stuff": [label for label in self.scored if label >= self.num_things],
        }
        return Metrics(
            values={
                f"{kind}/{name}": _mean(values[labels])
                for kind, labels in kinds.items()
                for name, values in qualities.items()
            },
            main_name="panoptic/PQ",
            per_class={
                f"panoptic/{name}": {self.names[k]: float(values[k]) for k in self.scored}
                for name, values in qualities.items()
            },
        )


def count(
    counts: Counts,
    wanted: np.ndarray,
    truth: PanopticTruth,
    found: np.ndarray,
    labels: np.ndarray,
) -> None:
    """Adds an image to ``counts``.

    ``wanted`` (H, W) has the ids of ``truth``, ``found`` (H, W) 0 or k + 1 where segment k of class
    ``labels[k]`` is; negative classes are not scored.
    """
    # Rows and columns are void, then segments; the last row has pixels of unscored classes.
    order = np.argsort(truth.ids)
    ids = truth.ids[order]
    rows = len(ids) + 2
    place = np.searchsorted(ids, wanted)
    is_known = ids[place.clip(max=max(len(ids) - 1, 0))] == wanted if len(ids) else wanted < 0
    row = np.where(wanted == VOID, 0, np.where(is_known, place + 1, rows - 1))
    columns = len(labels) + 1
    flat = np.bincount((row * columns + found).reshape(-1), minlength=rows * columns)
    common = flat.reshape(rows, columns)
    void, common = common[0, 1:], common[:, 1:]
    areas = common.sum(0)
    truth_areas = flat.reshape(rows, columns).sum(1)[1:-1]
    common = common[1:-1]

    wanted_labels, is_crowd = truth.labels[order], truth.is_crowd[order]
    union = truth_areas[:, None] + areas - common - void
    alike = wanted_labels[:, None] == labels
    iou = common / np.maximum(union, 1)
    is_match = alike & (iou > 0.5) & ~is_crowd[:, None]
    t, k = is_match.nonzero()
    np.add.at(counts.iou, labels[k], iou[t, k])
    np.add.at(counts.true_positives, labels[k], 1)

    is_missed = ~is_match.any(1) & ~is_crowd
    np.add.at(counts.false_negatives, wanted_labels[is_missed], 1)

    # The crowd of each class, in the order of the annotations.
    crowd_of = {int(truth.labels[n]): int(n) for n in np.flatnonzero(truth.is_crowd)}
    row_of = np.argsort(order)
    excused = void.copy()
    for segment, label in enumerate(labels.tolist()):
        if label in crowd_of:
            excused[segment] += common[row_of[crowd_of[label]], segment]
    is_wrong = ~is_match.any(0) & (labels >= 0) & (areas > 0)
    is_wrong &= excused <= areas / 2
    np.add.at(counts.false_positives, labels[is_wrong], 1)


def _mean(values: np.ndarray) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")
