"""Average precision of instance masks as computed by the Cityscapes scripts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from detzoo.data.formats.cityscapes import (
    CLASS_IDS,
    IDS_PER_CLASS,
    instance_map_of,
    read_instance_map,
)
from detzoo.errors import DataError
from detzoo.evaluate.evaluator import Evaluator
from detzoo.evaluate.ground_truth import GroundTruth
from detzoo.evaluate.metrics import Metrics
from detzoo.evaluate.results import ImageResult
from detzoo.structures.segmentation import decode_rle

# As computed by the scripts, including .6000000000000001, which is above .6.
THRESHOLDS = np.arange(0.5, 1.0, 0.05)
# Smaller objects are ignored.
MIN_PIXELS = 100
# Ids that are ignored: unlabeled, ego vehicle, borders, ground, parking, rail track, ... trailer.
VOID_IDS = (0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30)


class CityscapesEvaluator(Evaluator):
    """Mask AP over IoU .50:.95 and at .50, as computed by the Cityscapes scripts
    (https://arxiv.org/abs/1604.01685).

    Of the detections that overlap an object enough, the one with the highest score is a true
    positive and the others are false positives. A detection that overlaps no object of its class
    enough, not even a group or a tiny one, is a false positive, unless enough of it covers groups
    or tiny objects of its class or ignored pixels. Pixels are compared with the instance maps in
    ``gtFine``, which must exist.
    """

    def __init__(self, ground_truth: GroundTruth, class_names: Sequence[str]) -> None:
        self.labels_of_detector = ground_truth.labels_of(class_names)
        self.scored = [
            label
            for label in ground_truth.shared_labels(class_names)
            if ground_truth.class_names[label] in CLASS_IDS
        ]
        self.names = [ground_truth.class_names[label] for label in self.scored]
        if not self.scored:
            raise DataError(
                f"{ground_truth.source}: has no class with instances in Cityscapes "
                f"({', '.join(CLASS_IDS)}); use another metric"
            )
        self.ground_truth = ground_truth
        self.maps = [instance_map_of(path) for path in ground_truth.paths]
        for path in self.maps:
            if not path.is_file():
                raise DataError(
                    f"{path}: no such file; the Cityscapes metric needs the instance maps"
                )

    def score(self, results: Sequence[ImageResult]) -> Metrics:
        by_image = {result.image_id: result for result in results}
        self.ground_truth.image_indices(list(by_image))
        overlaps: list[list[_Overlaps]] = [[] for _ in self.scored]
        for image_id, path in zip(self.ground_truth.image_ids, self.maps):
            ids = read_instance_map(path)
            for c, one in enumerate(self._compare(ids, by_image.get(image_id))):
                overlaps[c].append(one)
        table = np.array(
            [[_average_precision(images, t) for t in THRESHOLDS] for images in overlaps]
        )
        per_class = {"cityscapes/AP": table.mean(1), "cityscapes/AP50": table[:, 0]}
        return Metrics(
            values={name: _mean(values) for name, values in per_class.items()},
            main_name="cityscapes/AP",
            per_class={
                name: dict(zip(self.names, values.tolist())) for name, values in per_class.items()
            },
        )

    def _compare(self, ids: np.ndarray, result: ImageResult | None) -> Iterable[_Overlaps]:
        """The overlaps of each class's detections in one image with its instance map ``ids`` (H,
        W)."""
        pixels = np.bincount(ids.reshape(-1))
        covered = np.zeros((0, len(pixels)), np.int64)
        labels, scores = np.zeros(0, np.int64), np.zeros(0)
        if result is not None and len(result):
            if result.masks is None:
                raise DataError(
                    f"the detections in image {result.image_id!r} have no masks, which the "
                    "Cityscapes metric needs; use a model that predicts masks"
                )
            codes = (code.encode("ascii") for code in result.masks.counts)
            masks = (decode_rle(code, result.masks.size).view(bool) for code in codes)
            covered = np.stack([np.bincount(ids[mask], minlength=len(pixels)) for mask in masks])
            labels, scores = self.labels_of_detector[result.labels], result.scores_of_masks
        number = np.arange(len(pixels))
        class_id = np.where(number < IDS_PER_CLASS, number, number // IDS_PER_CLASS)
        void = covered[:, np.isin(number, VOID_IDS)].sum(1)
        for label, name in zip(self.scored, self.names):
            mine = (labels == label) & (covered.sum(1) > 0)
            objects = np.flatnonzero((class_id == CLASS_IDS[name]) & (pixels > 0))
            yield _Overlaps(
                scores=scores[mine],
                pixels=covered[mine].sum(1),
                void=void[mine],
                common=covered[np.ix_(mine, objects)],
                object_pixels=pixels[objects],
                is_group=objects < IDS_PER_CLASS,
            )


@dataclass(frozen=True)
class _Overlaps:
    """N detections and G objects of one class in one image.

    ``scores``, ``pixels`` and ``void`` (N,) belong to the detections, ``void`` being their number
    of ignored pixels; ``common`` (N, G) is the intersection; ``object_pixels`` and ``is_group``
    (G,) belong to the objects.
    """

    scores: np.ndarray
    pixels: np.ndarray
    void: np.ndarray
    common: np.ndarray
    object_pixels: np.ndarray
    is_group: np.ndarray

    @property
    def is_wanted(self) -> np.ndarray:
        """Which objects should be detected: (G,)."""
        return ~self.is_group & (self.object_pixels >= MIN_PIXELS)

    def judge(self, threshold: float) -> tuple[np.ndarray, np.ndarray, int]:
        """Returns the scores of true positives and of false positives, and the number of false
        negatives.
        """
        union = self.pixels[:, None] + self.object_pixels - self.common
        enough = self.common / union > threshold
        on_wanted = np.where(enough & self.is_wanted, self.scores[:, None], -np.inf)
        is_found = (enough & self.is_wanted).any(0)
        best = np.zeros(len(self.scores), bool)
        best[on_wanted.argmax(0)[is_found] if len(self.scores) else []] = True
        duplicate = (enough & self.is_wanted).any(1) & ~best
        # A group that is also tiny is counted twice, as in the scripts.
        is_tiny = self.object_pixels < MIN_PIXELS
        excused = self.void + self.common[:, self.is_group].sum(1) + self.common[:, is_tiny].sum(1)
        is_wrong = ~enough.any(1) & (excused / self.pixels <= threshold)
        missed = int(self.is_wanted.sum() - is_found.sum())
        return self.scores[best], self.scores[duplicate | is_wrong], missed


def _average_precision(images: Sequence[_Overlaps], threshold: float) -> float:
    """AP of one class; NaN if it occurs in no image."""
    if not any(image.is_wanted.any() for image in images):
        return float("nan")
    judged = [image.judge(threshold) for image in images]
    right = np.concatenate([scores for scores, _, _ in judged])
    wrong = np.concatenate([scores for _, scores, _ in judged])
    missed = sum(count for _, _, count in judged)
    scores = np.concatenate([right, wrong])
    is_right = np.arange(len(scores)) < len(right)
    order = np.argsort(-scores, kind="stable")
    # One point per score, at the last detection that has it.
    last = np.flatnonzero(np.diff(scores[order], append=np.inf))
    found = np.cumsum(is_right[order])[last]
    precision = np.concatenate([[1.0], found / (last + 1)])
    recall = np.concatenate([[0.0], found / (len(right) + missed)])
    # Each point represents half the interval to each neighbor.
    around = np.concatenate([[0.0], recall, recall[-1:]])
    return float((precision * (around[2:] - around[:-2]) / 2).sum())


def _mean(values: np.ndarray) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")
