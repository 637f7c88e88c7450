"""Detections against objects: which is which, and how well every pair of them overlaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from faster_coco_eval.core import mask as rle

from detzoo.evaluate.coco import Kind, Table
from detzoo.evaluate.ground_truth import GroundTruth
from detzoo.evaluate.results import ImageResult

# As in COCO's evaluation: of each class in an image, and where a detection is right.
MAX_DETECTIONS = 100
IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)


@dataclass(frozen=True)
class Matches:
    """D detections of a data set, each with what it found, and N objects, each with what found it.

    Detections are ordered by score, the highest first. Per detection: ``image`` (D,), ``label``
    (D,) of the ground truth, ``score`` (D,), ``boxes`` (D, 4) x, y, width, height; ``is_right``
    (T, D) and ``is_ignored`` (T, D) at each of ``IOU_THRESHOLDS``, as COCO's evaluation matches
    them: ignored ones are in crowds, or of classes that were not annotated there. At an IoU of .5:
    ``match`` (D,), the index of the object, -1 for none. ``own_iou``, ``other_iou`` (D,): the
    highest IoU with an object of its class and of another one, and ``own``, ``other`` (D,) these
    objects, -1 for none; ``taken_iou`` (D,) the highest with an object of its class that is matched
    already.

    Per object: those of ``truth`` at ``objects`` (N,), which are to be found, with ``object_image``
    and ``object_label`` (N,); ``found_by`` (N,) the index of its detection at an IoU of .5, -1 for
    none; ``best_iou`` (N,) with any detection of its class.
    """

    truth: GroundTruth
    kind: Kind
    image: np.ndarray
    label: np.ndarray
    score: np.ndarray
    boxes: np.ndarray
    is_right: np.ndarray
    is_ignored: np.ndarray
    match: np.ndarray
    own: np.ndarray
    own_iou: np.ndarray
    other: np.ndarray
    other_iou: np.ndarray
    taken_iou: np.ndarray
    objects: np.ndarray
    found_by: np.ndarray
    best_iou: np.ndarray

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.truth.class_names

    @property
    def num_images(self) -> int:
        return len(self.truth.image_ids)

    @property
    def object_image(self) -> np.ndarray:
        return self.truth.image[self.objects]

    @property
    def object_label(self) -> np.ndarray:
        return self.truth.label[self.objects]

    @property
    def is_true(self) -> np.ndarray:
        """(D,) right at an IoU of .5."""
        return self.is_right[0]

    @property
    def is_false(self) -> np.ndarray:
        """(D,) wrong at an IoU of .5."""
        return ~self.is_right[0] & ~self.is_ignored[0]


def match(
    truth: GroundTruth,
    results: Sequence[ImageResult],
    class_names: Sequence[str],
    kind: Kind = "bbox",
) -> Matches:
    """Matches ``results`` of a detector for ``class_names`` with the objects of ``truth``.

    Objects of classes that the detector does not know need not be found. Like COCO's evaluation, it
    takes the ``MAX_DETECTIONS`` highest scores of each class in an image. Raises
    :class:`DataError` where masks are compared and there are none.
    """
    objects = Table.of_ground_truth(truth, kind)
    found = Table.of_results(results, truth, truth.labels_of(class_names), kind)
    scored = np.isin(truth.label, truth.shared_labels(class_names))
    is_region = objects.is_crowd | objects.is_unmasked  # where detections are ignored
    rows = _kept(found)
    is_object = scored & ~is_region
    targets = np.flatnonzero(is_object)
    parts = [
        _match_image(
            _Side(objects, np.flatnonzero(is_object & (objects.image == image)), kind),
            _Side(objects, np.flatnonzero(scored & is_region & (objects.image == image)), "bbox"),
            _Side(found, rows[found.image[rows] == image], kind),
            _unannotated(truth, image),
        )
        for image in range(len(truth.image_ids))
    ]
    detections = np.concatenate([np.zeros(0, np.int64), *(part.rows for part in parts)])
    order = np.argsort(-found.score[detections], kind="stable")
    place = np.full(len(truth), -1)
    place[targets] = np.arange(len(targets))

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts], axis=-1)[..., order]

    def of_objects(name: str) -> np.ndarray:
        return np.where(joined(name) < 0, -1, place[joined(name)])

    matched = of_objects("match")
    found_by = np.full(len(targets), -1)
    found_by[matched[matched >= 0]] = np.flatnonzero(matched >= 0)
    best = np.zeros(len(truth))
    for part in parts:
        best[part.objects] = part.best_iou
    return Matches(
        truth=truth,
        kind=kind,
        image=found.image[detections][order],
        label=found.label[detections][order],
        score=found.score[detections][order],
        boxes=found.boxes[detections][order],
        is_right=joined("is_right"),
        is_ignored=joined("is_ignored"),
        match=matched,
        own=of_objects("own"),
        own_iou=joined("own_iou"),
        other=of_objects("other"),
        other_iou=joined("other_iou"),
        taken_iou=joined("taken_iou"),
        objects=targets,
        found_by=found_by,
        best_iou=best[targets],
    )


def _kept(found: Table) -> np.ndarray:
    """Rows with a class of the ground truth, by image and falling score, as many as are scored."""
    order = np.lexsort((-found.score, found.image))
    order = order[found.label[order] >= 0]
    pairs = np.stack([found.image[order], found.label[order]], 1)
    seen: dict[tuple[int, int], int] = {}
    kept = np.zeros(len(order), bool)
    for k, (image, label) in enumerate(pairs.tolist()):
        count = seen.get((image, label), 0)
        kept[k], seen[image, label] = count < MAX_DETECTIONS, count + 1
    return order[kept]


def _unannotated(truth: GroundTruth, image: int) -> tuple[np.ndarray, np.ndarray]:
    """(C,) Classes that nobody looked for in an image (LVIS, Open Images), and those that are not
    complete (LVIS)."""
    count = len(truth.class_names)
    unknown, partial = np.zeros(count, bool), np.zeros(count, bool)
    if truth.federation is not None:
        unknown[:] = True
        unknown[list(truth.federation.absent[image])] = False
        partial[list(truth.federation.partial[image])] = True
    if truth.open_images is not None:
        unknown[:] = True
        unknown[truth.open_images.verified[image]] = False
    unknown[truth.label[truth.image == image]] = False
    return unknown, partial


@dataclass(frozen=True)
class _Side:
    """Some rows of a table, in the form in which the library compares boxes or masks."""

    table: Table
    rows: np.ndarray
    kind: Kind

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def labels(self) -> np.ndarray:
        return self.table.label[self.rows]

    def shapes(self, kind: Kind) -> list[object]:
        if kind == "segm":
            return [self.table.segmentations[row] for row in self.rows.tolist()]
        return self.table.boxes[self.rows].tolist()


@dataclass(frozen=True)
class _ImageMatches:
    """See :class:`Matches`; ``rows`` and objects are those of the tables."""

    rows: np.ndarray
    is_right: np.ndarray
    is_ignored: np.ndarray
    match: np.ndarray
    own: np.ndarray
    own_iou: np.ndarray
    other: np.ndarray
    other_iou: np.ndarray
    taken_iou: np.ndarray
    objects: np.ndarray
    best_iou: np.ndarray


def _match_image(
    objects: _Side, regions: _Side, found: _Side, unannotated: tuple[np.ndarray, np.ndarray]
) -> _ImageMatches:
    overlaps = _overlaps(found, objects, found.kind, crowd=False)  # (d, n)
    same = found.labels[:, None] == objects.labels
    own_overlaps = np.where(same, overlaps, 0.0)
    matches = np.stack([_greedy(own_overlaps, threshold) for threshold in IOU_THRESHOLDS])
    is_right = matches >= 0

    unknown, partial = unannotated
    is_ignored = ~is_right & (unknown | partial)[found.labels]
    if len(regions):
        within = np.zeros((len(found), len(regions)))
        for k, (row, is_crowd) in enumerate(
            zip(regions.rows.tolist(), regions.table.is_crowd[regions.rows].tolist())
        ):
            # Objects that have no mask are compared by their boxes.
            kind = found.kind if is_crowd and regions.table.segmentations[row] else "bbox"
            one = _Side(regions.table, np.array([row]), kind)
            within[:, k] = _overlaps(found, one, kind, crowd=is_crowd)[:, 0]
        inside = np.where(found.labels[:, None] == regions.labels, within, 0.0).max(1)
        is_ignored |= ~is_right & (inside >= IOU_THRESHOLDS[:, None])

    taken = np.zeros(len(objects), bool)
    taken[matches[0][matches[0] >= 0]] = True
    own, own_iou = _best(own_overlaps, objects.rows)
    other, other_iou = _best(np.where(same, 0.0, overlaps), objects.rows)
    _, taken_iou = _best(own_overlaps * taken, objects.rows)
    return _ImageMatches(
        found.rows,
        is_right,
        is_ignored,
        np.where(is_right[0], objects.rows[matches[0]] if len(objects) else -1, -1),
        own,
        own_iou,
        other,
        other_iou,
        taken_iou,
        objects.rows,
        own_overlaps.max(0, initial=0.0),
    )


def _overlaps(found: _Side, objects: _Side, kind: Kind, *, crowd: bool) -> np.ndarray:
    if not len(found) or not len(objects):
        return np.zeros((len(found), len(objects)))
    flags = [int(crowd)] * len(objects)
    return np.asarray(rle.iou(found.shapes(kind), objects.shapes(kind), flags), np.float64)


def _greedy(overlaps: np.ndarray, threshold: float) -> np.ndarray:
    """(d,) For each row in turn, the free column that overlaps most, -1 where none reaches it."""
    free = overlaps.copy()
    chosen = np.full(len(free), -1)
    if not free.size:
        return chosen
    for row in np.flatnonzero(free.max(1) >= threshold).tolist():
        # The last of equal ones, as in pycocotools.
        column = free.shape[1] - 1 - int(free[row, ::-1].argmax())
        if free[row, column] >= min(threshold, 1 - 1e-10):
            chosen[row] = column
            free[:, column] = -1.0
    return chosen


def _best(overlaps: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(d,) the row of the object that overlaps most and its IoU; -1 and 0 where none does."""
    if not overlaps.shape[1]:
        return np.full(len(overlaps), -1), np.zeros(len(overlaps))
    iou = overlaps.max(1)
    return np.where(iou > 0, rows[overlaps.argmax(1)], -1), iou
