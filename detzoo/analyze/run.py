"""All analyses of one detector on one data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from detzoo.analyze.bootstrap import (
    RESAMPLES,
    Interval,
    image_weights,
    intervals,
    metric_samples,
)
from detzoo.analyze.calibration import Calibration, calibration
from detzoo.analyze.confusion import confusion_matrix
from detzoo.analyze.curves import Curve, average_precision, curve
from detzoo.analyze.groups import Group, groups
from detzoo.analyze.matches import Matches, match
from detzoo.analyze.suspects import Suspect, suspects
from detzoo.analyze.tide import ERRORS, ErrorAnalysis, analyze_errors
from detzoo.errors import DataError
from detzoo.evaluate.coco import Kind
from detzoo.evaluate.ground_truth import GroundTruth
from detzoo.evaluate.results import ImageResult

# Where no score has a best F1, since nothing is right.
DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True)
class ClassRow:
    """One class: AP and AP50, and the score with the best F1, with precision and recall there."""

    name: str
    objects: int
    detections: int
    ap: float
    ap50: float
    threshold: float | None
    precision: float
    recall: float


@dataclass(frozen=True)
class ImageErrors:
    """The errors in one image at the threshold: wrong detections by kind of error, and objects that
    were not found."""

    image: int
    counts: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.counts.values())


@dataclass(frozen=True)
class Analysis:
    """What there is to know of a detector's boxes or masks on a data set.

    ``threshold`` is the score with the best F1 of all detections; confusions, recall by group,
    suspects and the errors of images count detections from it on.
    """

    matches: Matches
    threshold: float
    metrics: dict[str, Interval]
    classes: list[ClassRow]
    overall: Curve
    curves: dict[str, Curve]
    errors: ErrorAnalysis
    confusion: np.ndarray
    calibration: Calibration
    groups: list[Group]
    suspects: list[Suspect]
    images: list[ImageErrors]

    @property
    def thresholds(self) -> dict[str, float]:
        """The score with the best F1 by class, where anything of it is right."""
        return {row.name: row.threshold for row in self.classes if row.threshold is not None}


def analyze(
    truth: GroundTruth,
    results: Sequence[ImageResult],
    class_names: Sequence[str],
    *,
    kind: Kind = "bbox",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Analysis:
    """Analyzes ``results`` of a detector for ``class_names``, in original pixels.

    Raises :class:`DataError` where there is nothing to find, or no class in common.
    """
    matches = match(truth, results, class_names, kind)
    if not len(matches.objects):
        raise DataError(
            f"{truth.source}: has no object of the detector's classes to find, so there is nothing "
            "to analyze."
        )
    overall = curve(matches)
    threshold = DEFAULT_THRESHOLD if overall.threshold is None else overall.threshold
    labels = np.unique(matches.object_label).tolist()
    curves = {matches.class_names[label]: curve(matches, label) for label in labels}
    errors = analyze_errors(matches)
    weights = image_weights(matches.num_images, resamples, seed)
    return Analysis(
        matches=matches,
        threshold=threshold,
        metrics=intervals(metric_samples(matches, weights)),
        classes=[_class_row(matches, label, of) for label, of in zip(labels, curves.values())],
        overall=overall,
        curves=curves,
        errors=errors,
        confusion=confusion_matrix(matches, threshold),
        calibration=calibration(matches),
        groups=groups(matches, threshold),
        suspects=suspects(matches, errors, threshold),
        images=_image_errors(matches, errors, threshold),
    )


def _class_row(matches: Matches, label: int, of: Curve) -> ClassRow:
    rows = matches.label == label
    kept = (~matches.is_ignored[:, rows]).astype(float)
    ap = average_precision(matches.is_right[:, rows], of.num_objects, kept)
    at = of.best
    return ClassRow(
        name=matches.class_names[label],
        objects=of.num_objects,
        detections=int(rows.sum()),
        ap=float(ap.mean()),
        ap50=float(ap[0]),
        threshold=of.threshold,
        precision=0.0 if at is None else float(of.precision[at]),
        recall=0.0 if at is None else float(of.recall[at]),
    )


def _image_errors(matches: Matches, errors: ErrorAnalysis, threshold: float) -> list[ImageErrors]:
    """Every image, those with the most errors first."""
    shown = matches.score >= threshold
    counts = {
        name: np.bincount(matches.image[shown & (errors.kinds == k)], minlength=matches.num_images)
        for k, name in enumerate(ERRORS)
    }
    found = matches.found_by >= 0
    if len(matches.score):
        found &= matches.score[matches.found_by] >= threshold
    missed = matches.object_image[~found]
    counts["Missed"] = np.bincount(missed, minlength=matches.num_images)
    rows = [
        ImageErrors(image, {name: int(of[image]) for name, of in counts.items()})
        for image in range(matches.num_images)
    ]
    return sorted(rows, key=lambda row: -row.total)
