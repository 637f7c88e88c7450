"""Which class is taken for which."""

from __future__ import annotations

import numpy as np
from faster_coco_eval.core import mask as rle

from detzoo.analyze.matches import Matches

MIN_IOU = 0.5


def confusion_matrix(matches: Matches, min_score: float) -> np.ndarray:
    """(C + 1, C + 1) how many objects of each class (rows) were detected as each class (columns).

    The last row counts detections of background, the last column objects that were not detected.
    In each image, detections are paired with objects from the highest IoU down to ``MIN_IOU``,
    those of the same class first. Detections below ``min_score`` and ignored ones are left out.
    """
    count = len(matches.class_names)
    matrix = np.zeros((count + 1, count + 1), np.int64)
    is_kept = (matches.score >= min_score) & ~matches.is_ignored[0]
    by_image = _positions(matches.image, is_kept, matches.num_images)
    objects_by_image = _positions(
        matches.object_image, np.ones(len(matches.objects), bool), matches.num_images
    )
    for found, objects in zip(by_image, objects_by_image):
        is_same = matches.label[found][:, None] == matches.object_label[objects]
        pairs = _pairs(_overlaps(matches, found, objects), is_same)
        for row, column in pairs:
            matrix[matches.object_label[objects[column]], matches.label[found[row]]] += 1
        unfound = np.delete(objects, [column for _, column in pairs])
        unmatched = np.delete(found, [row for row, _ in pairs])
        np.add.at(matrix, (matches.object_label[unfound], count), 1)
        np.add.at(matrix, (count, matches.label[unmatched]), 1)
    return matrix


def _positions(image: np.ndarray, is_kept: np.ndarray, num_images: int) -> list[np.ndarray]:
    """The indices of each image's rows."""
    kept = np.flatnonzero(is_kept)
    order = kept[np.argsort(image[kept], kind="stable")]
    ends = np.cumsum(np.bincount(image[kept], minlength=num_images))
    return np.split(order, ends[:-1])


def _overlaps(matches: Matches, found: np.ndarray, objects: np.ndarray) -> np.ndarray:
    if not len(found) or not len(objects):
        return np.zeros((len(found), len(objects)))
    boxes = matches.truth.boxes[matches.objects[objects]].tolist()
    return np.asarray(rle.iou(matches.boxes[found].tolist(), boxes, [0] * len(boxes)))


def _pairs(overlaps: np.ndarray, is_same: np.ndarray) -> list[tuple[int, int]]:
    """(row, column) of each detection and its object."""
    rows, columns = np.nonzero(overlaps >= MIN_IOU)
    pairs: list[tuple[int, int]] = []
    taken_rows: set[int] = set()
    taken_columns: set[int] = set()
    order = np.lexsort((-overlaps[rows, columns], ~is_same[rows, columns]))
    for k in order.tolist():
        row, column = int(rows[k]), int(columns[k])
        if row not in taken_rows and column not in taken_columns:
            pairs.append((row, column))
            taken_rows.add(row)
            taken_columns.add(column)
    return pairs
