"""Average precision as computed by the LVIS tools (https://arxiv.org/abs/1908.03195)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from detzoo.errors import DataError
from detzoo.evaluate.coco import (
    COCO_AREAS,
    EVERY_AREA,
    Kind,
    MissingMasks,
    Table,
    average,
    precision_and_recall,
    summarize,
)
from detzoo.evaluate.evaluator import Evaluator
from detzoo.evaluate.ground_truth import GroundTruth
from detzoo.evaluate.metrics import Metrics
from detzoo.evaluate.results import ImageResult

MAX_DETECTIONS = 300


class LvisEvaluator(Evaluator):
    """COCO's metrics for images that are not annotated for every class, and AP by frequency.

    Only the 300 detections with the highest scores per image are evaluated, over all classes.
    Detections of a class that is neither annotated in the image nor known to be absent are ignored,
    and those of a class that is not annotated exhaustively are never false positives. ``APr``,
    ``APc`` and ``APf`` average over rare, common and frequent classes. For masks, the area is that
    of the detected mask, not of its box. For ``missing_masks`` see
    :class:`detzoo.evaluate.coco.CocoEvaluator`.
    """

    def __init__(
        self,
        ground_truth: GroundTruth,
        class_names: Sequence[str],
        *,
        kinds: Sequence[Kind] = ("bbox",),
        missing_masks: MissingMasks = "ignore",
    ) -> None:
        if ground_truth.federation is None:
            raise DataError(
                f"{ground_truth.source}: its images have no neg_category_ids, so it is not "
                "annotated like LVIS; use COCO's metric (--metric coco)"
            )
        self.ground_truth = ground_truth
        self.kinds = tuple(kinds)
        self.labels_of_detector = ground_truth.labels_of(class_names)
        self.scored = ground_truth.shared_labels(class_names)
        frequency = np.array(ground_truth.federation.frequency)[self.scored]
        self.groups = {f"AP{letter}": frequency == letter for letter in "rcf"}
        self.looked_for = self._looked_for()
        self.truth = {
            kind: Table.of_ground_truth(ground_truth, kind, missing_masks) for kind in self.kinds
        }

    def score(self, results: Sequence[ImageResult]) -> Metrics:
        best = [result[_best(result)] for result in results]
        return Metrics.merge([self._score(kind, best) for kind in self.kinds])

    def _key(self, image: np.ndarray, label: np.ndarray) -> np.ndarray:
        """A unique key (N,) for each pair of image and label."""
        return np.where(label < 0, -1, image * len(self.ground_truth.class_names) + label)

    def _looked_for(self) -> np.ndarray:
        """The keys of classes that are annotated in an image or verified to be absent."""
        truth = self.ground_truth
        assert truth.federation is not None
        absent = [(i, k) for i, labels in enumerate(truth.federation.absent) for k in labels]
        images, labels = np.array(absent, np.int64).reshape(-1, 2).T
        shown = self._key(truth.image, truth.label)
        return np.concatenate([shown, self._key(images, labels)])

    def _score(self, kind: Kind, results: Sequence[ImageResult]) -> Metrics:
        found = Table.of_results(results, self.ground_truth, self.labels_of_detector, kind)
        # The library would also ignore the others, but fails for masks in images without
        # annotations.
        known = np.isin(self._key(found.image, found.label), self.looked_for)
        found = replace(found, is_kept=known)
        areas = (EVERY_AREA, *COCO_AREAS)
        precision, recall = precision_and_recall(
            kind,
            self.truth[kind],
            found,
            self.scored,
            max_detections=(MAX_DETECTIONS,),
            areas=areas,
        )
        names = [self.ground_truth.class_names[label] for label in self.scored]
        metrics = summarize(kind, precision, recall, names, (MAX_DETECTIONS,), areas)
        by_frequency = {
            f"{kind}/{name}": average(precision[:, :, members, 0])
            for name, members in self.groups.items()
        }
        return replace(metrics, values={**metrics.values, **by_frequency})


def _best(result: ImageResult) -> np.ndarray:
    """The indices of the detections with the highest scores in one image."""
    return np.argsort(-result.scores, kind="stable")[:MAX_DETECTIONS]
