"""LVIS data for tests, and its metrics from a slow readable implementation."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from pycocotools import mask as official_rle

from tests.evaluate.synthetic import coco_data

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
AREAS = {"": (0, 1e10), "s": (0, 32**2), "m": (32**2, 96**2), "l": (96**2, 1e10)}


def lvis_data(seed: int) -> dict[str, Any]:
    """Synthetic ground truth whose images list some classes as absent or not exhaustive."""
    rng = np.random.default_rng(seed)
    data = coco_data(seed)
    ids = [category["id"] for category in data["categories"]]
    shown = defaultdict(set)
    for annotation in data["annotations"]:
        annotation.pop("iscrowd")
        annotation.pop("ignore", None)
        if isinstance(annotation["segmentation"], dict):
            x, y, w, h = annotation["bbox"]
            annotation["segmentation"] = [[x, y, x + w, y, x + w, y + h]]
        shown[annotation["image_id"]].add(annotation["category_id"])
    for image in data["images"]:
        others = sorted(set(ids) - shown[image["id"]])
        image["neg_category_ids"] = [number for number in others if rng.random() < 0.4]
        image["not_exhaustive_category_ids"] = [
            number for number in sorted(shown[image["id"]]) if rng.random() < 0.4
        ]
    for category, frequency in zip(data["categories"], "rrccf"):
        category["frequency"] = frequency
    return data


def metrics(data: dict[str, Any], results: list[dict[str, Any]], kind: str) -> dict[str, float]:
    """Every number, by the definition, with a loop for everything."""
    by_image = defaultdict(list)
    for entry in results:
        by_image[entry["image_id"]].append(entry)
    kept = defaultdict(list)
    for image_id, entries in by_image.items():
        for entry in sorted(entries, key=lambda item: -item["score"])[:300]:
            kept[image_id, entry["category_id"]].append(entry)
    shown = defaultdict(list)
    for annotation in data["annotations"]:
        shown[annotation["image_id"], annotation["category_id"]].append(annotation)
    values = {}
    tables: dict[tuple[str, int], Any] = {}
    for area, bounds in AREAS.items():
        for category in data["categories"]:
            tables[area, category["id"]] = _curves(data, shown, kept, category["id"], bounds, kind)
    ids = [category["id"] for category in data["categories"]]

    def mean(area: str, members: list[int], column: int, thresholds: slice) -> float:
        found = [
            tables[area, c][column][thresholds] for c in members if tables[area, c] is not None
        ]
        return float(np.mean(found)) if found else float("nan")

    every = slice(None)
    values["AP"] = mean("", ids, 0, every)
    values["AP50"] = mean("", ids, 0, slice(0, 1))
    values["AP75"] = mean("", ids, 0, slice(5, 6))
    for area in "sml":
        values[f"AP{area}"] = mean(area, ids, 0, every)
        values[f"AR{area}"] = mean(area, ids, 1, every)
    values["AR300"] = mean("", ids, 1, every)
    for letter in "rcf":
        members = [c["id"] for c in data["categories"] if c["frequency"] == letter]
        values[f"AP{letter}"] = mean("", members, 0, every)
    return {f"{kind}/{name}": value for name, value in values.items()}


def _curves(
    data: dict[str, Any],
    shown: Any,
    kept: Any,
    category: int,
    bounds: tuple[float, float],
    kind: str,
) -> tuple[np.ndarray, np.ndarray] | None:
    """Precision (T, R) and final recall (T,) of a class, None where there is nothing to find."""
    low, high = bounds
    rows = []  # score, per threshold: right, per threshold: ignored
    count = 0
    for image in sorted(data["images"], key=lambda item: item["id"]):
        objects = shown[image["id"], category]
        if not objects and category not in image["neg_category_ids"]:
            continue
        regular = [low <= item["area"] <= high for item in objects]
        count += sum(regular)
        found = sorted(kept[image["id"], category], key=lambda item: -item["score"])
        iou = _iou(found, objects, image, kind)
        right = np.zeros((len(found), 10), bool)
        ignored = np.zeros((len(found), 10), bool)
        for t, threshold in enumerate(THRESHOLDS):
            taken: set[int] = set()
            for d, entry in enumerate(found):
                best = None
                for wanted in (True, False):  # what counts first; of equals the last
                    least = threshold
                    for g in range(len(objects)):
                        if g not in taken and regular[g] == wanted and iou[d, g] >= least:
                            best, least = g, iou[d, g]
                    if best is not None:
                        break
                if best is not None:
                    taken.add(best)
                    right[d, t], ignored[d, t] = regular[best], not regular[best]
                else:
                    size = _area(entry, kind)
                    partial = category in image["not_exhaustive_category_ids"]
                    ignored[d, t] = partial or not low <= size <= high
        rows += [(entry["score"], right[d], ignored[d]) for d, entry in enumerate(found)]
    if count == 0:
        return None
    rows.sort(key=lambda row: -row[0])
    precision, recall = np.zeros((10, 101)), np.zeros(10)
    for t in range(10):
        judged = [row[1][t] for row in rows if not row[2][t]]
        hits = np.cumsum(judged)
        ranks = np.arange(1, len(judged) + 1)
        recall[t] = hits[-1] / count if len(judged) else 0
        for r, level in enumerate(RECALLS):
            reached = [h / n for h, n in zip(hits, ranks) if h / count >= level]
            precision[t, r] = max(reached, default=0)
    return precision, recall


def _iou(found: list[Any], objects: list[Any], image: dict[str, Any], kind: str) -> np.ndarray:
    if not found or not objects:
        return np.zeros((len(found), len(objects)))
    if kind == "bbox":
        a, b = ([item["bbox"] for item in items] for items in (found, objects))
    else:
        size = image["height"], image["width"]
        a = [item["segmentation"] for item in found]
        b = [
            official_rle.merge(official_rle.frPyObjects(item["segmentation"], *size))
            for item in objects
        ]
    return official_rle.iou(a, b, [0] * len(b))


def _area(entry: dict[str, Any], kind: str) -> float:
    if kind == "bbox":
        return entry["bbox"][2] * entry["bbox"][3]
    return float(official_rle.area(entry["segmentation"]))
