"""Objects and detections at random: right ones, shifted ones, of another class, twice, nowhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from detzoo.evaluate import GroundTruth, ImageResult

NAMES = ("a", "b", "c")
NUM_IMAGES = 30


def coco(
    *, crowds: float = 0.0, masks: bool = False
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A ground truth and detections in COCO format; ``crowds`` is the part that are crowds."""
    rng = np.random.default_rng(0)
    objects: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for image in range(NUM_IMAGES):
        for _ in range(rng.integers(0, 8)):
            box = [*rng.uniform(0, 100, 2), *rng.uniform(10, 50, 2)]
            label = int(rng.integers(1, 4))
            objects.append(
                {
                    "id": len(objects) + 1,
                    "image_id": image,
                    "category_id": label,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": int(rng.random() < crowds),
                }
            )
            for _ in range(rng.integers(0, 4)):
                moved = np.array(box) + rng.normal(0, [1, 4, 10][rng.integers(3)], 4)
                moved[2:] = np.maximum(moved[2:], 2)
                of = label if rng.random() < 0.7 else int(rng.integers(1, 4))
                found.append(detection(image, of, moved.tolist(), float(rng.random())))
        for _ in range(rng.integers(0, 4)):
            box = [*rng.uniform(0, 100, 2).tolist(), 20.0, 20.0]
            found.append(detection(image, int(rng.integers(1, 4)), box, float(rng.random() * 0.7)))
    if masks:
        for one in (*objects, *found):
            x, y, w, h = one["bbox"]
            one["segmentation"] = [[x, y, x + w, y, x + w, y + h, x, y + h / 2]]
    content = {
        "images": [{"id": i, "width": 200, "height": 150} for i in range(NUM_IMAGES)],
        "annotations": objects,
        "categories": [{"id": k + 1, "name": name} for k, name in enumerate(NAMES)],
    }
    return content, found


def detection(image: int, category: int, box: list[float], score: float) -> dict[str, Any]:
    return {"image_id": image, "category_id": category, "bbox": box, "score": score}


def truth_of(
    boxes: dict[int, list[tuple[int, tuple[float, float, float, float]]]],
) -> GroundTruth:
    """A ground truth of (label, x y width height) by image, each 100 pixels wide and high."""
    objects = [
        {"image_id": image, "category_id": label + 1, "bbox": list(box)}
        for image, rows in boxes.items()
        for label, box in rows
    ]
    content = {
        "images": [{"id": image, "width": 100, "height": 100} for image in boxes],
        "annotations": [{"id": k, **one} for k, one in enumerate(objects)],
        "categories": [{"id": k + 1, "name": name} for k, name in enumerate(NAMES)],
    }
    return GroundTruth.from_coco(content)


def result(image: int, *rows: tuple[int, tuple[float, float, float, float], float]) -> ImageResult:
    """Detections of (label, x y width height, score)."""
    labels, boxes, scores = zip(*rows)
    return ImageResult(
        image, np.array(boxes, np.float64), np.array(scores), np.array(labels, np.int64)
    )
