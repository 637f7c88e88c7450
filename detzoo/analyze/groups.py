"""Which objects are found: by size, shape, crowding, position and number in the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from faster_coco_eval.core import mask as rle

from detzoo.analyze.matches import Matches


@dataclass(frozen=True)
class Group:
    """Objects with something in common: how many, the part found by any detection and by those
    from the threshold on, and the mean IoU with the best detection of their class."""

    kind: str
    name: str
    count: int
    recall: float
    recall_above: float
    mean_iou: float


def groups(matches: Matches, min_score: float) -> list[Group]:
    """All groups that have objects; ``recall_above`` counts detections from ``min_score`` on."""
    found = matches.found_by >= 0
    above = found & (matches.score[matches.found_by] >= min_score) if len(matches.score) else found
    result = []
    for kind, (places, names) in _divisions(matches).items():
        for k, name in enumerate(names):
            mine = places == k
            if not mine.any():
                continue
            numbers = (part[mine].mean() for part in (found, above, matches.best_iou))
            result.append(Group(kind, name, int(mine.sum()), *map(float, numbers)))
    return result


def _divisions(matches: Matches) -> dict[str, tuple[np.ndarray, tuple[str, ...]]]:
    """For each kind, the position (N,) of each object in a list of names."""
    truth, objects = matches.truth, matches.objects
    boxes = truth.boxes[objects]
    width, height = np.maximum(boxes[:, 2:], 1e-9).T
    counts = np.bincount(matches.object_image, minlength=matches.num_images)
    divisions: dict[str, tuple[np.ndarray, tuple[str, ...]]] = {
        "size (square pixels)": (
            np.digitize(truth.area[objects], [16**2, 32**2, 96**2, 256**2]),
            ("below 16²", "16² to 32²", "32² to 96²", "96² to 256²", "256² and more"),
        ),
        "shape (width : height)": (
            np.digitize(width / height, [1 / 3, 2 / 3, 1.5, 3]),
            ("below 1 : 3", "1 : 3 to 2 : 3", "2 : 3 to 3 : 2", "3 : 2 to 3 : 1", "above 3 : 1"),
        ),
        "crowding (highest IoU with another object)": (
            np.digitize(_crowding(matches), [1e-9, 0.1, 0.3, 0.5]),
            ("none", "below .1", ".1 to .3", ".3 to .5", ".5 and more"),
        ),
        "objects in the image": (
            np.digitize(counts[matches.object_image], [2, 6, 11, 21]),
            ("1", "2 to 5", "6 to 10", "11 to 20", "more than 20"),
        ),
    }
    sizes = truth.image_sizes[matches.object_image]
    if (sizes > 0).all():
        divisions["position"] = _positions(boxes, sizes)
    return divisions


def _positions(boxes: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """At the edge of the image, in its middle third, or between."""
    near, far = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    whole = sizes[:, ::-1]  # width, height
    touches = ((near <= 1) | (far >= whole - 1)).any(1)
    center = (near + far) / 2 / whole
    is_central = (np.abs(center - 0.5) <= 1 / 6).all(1)
    return np.where(touches, 0, np.where(is_central, 2, 1)), (
        "cut by the edge of the image",
        "between edge and middle",
        "in the middle third",
    )


def _crowding(matches: Matches) -> np.ndarray:
    """(N,) the highest IoU of each object's box with that of another, of whatever class."""
    result = np.zeros(len(matches.objects))
    order = np.argsort(matches.object_image, kind="stable")
    ends = np.cumsum(np.bincount(matches.object_image, minlength=matches.num_images))
    for rows in np.split(order, ends[:-1]):
        if len(rows) > 1:
            boxes = matches.truth.boxes[matches.objects[rows]].tolist()
            overlaps = np.asarray(rle.iou(boxes, boxes, [0] * len(boxes)))
            np.fill_diagonal(overlaps, 0)
            result[rows] = overlaps.max(1)
    return result
