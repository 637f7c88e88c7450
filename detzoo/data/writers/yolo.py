"""Writes YOLO's format: a text file for each image, and a ``data.yaml``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import yaml

from detzoo.data.dataset import DetectionDataset
from detzoo.data.writers.images import ImageFolder
from detzoo.structures.segmentation import decode_rle

# Contours run through the middle of pixels; in a mask enlarged so much, they are this part of a
# pixel off its edge.
_ENLARGED = 4


def write_yolo(datasets: Mapping[str, DetectionDataset], folder: Path, link: bool) -> Counter[str]:
    """Writes ``data.yaml``, ``images/<split>`` and ``labels/<split>``.

    Data sets with masks become labels of polygons: parts of an object are joined to one polygon,
    as Ultralytics does it, and the holes of run lengths are filled. All boxes and polygons are
    clipped to their images. Returns what was changed or left out, and how often.
    """
    changes: Counter[str] = Counter()
    first = next(iter(datasets.values()))
    for split, dataset in datasets.items():
        images = ImageFolder(folder / "images" / split, flat=False, link=link)
        for i in range(len(dataset)):
            labels = folder / "labels" / split / images.put(dataset, i)
            labels.parent.mkdir(parents=True, exist_ok=True)
            lines = "".join(f"{line}\n" for line in _lines(dataset, i, changes))
            labels.with_suffix(".txt").write_text(lines, encoding="ascii")
        changes["images renamed, since another has the same name"] += images.num_renamed
    content = {split: f"images/{split}" for split in datasets}
    names = dict(enumerate(first.class_names))
    with open(folder / "data.yaml", "w", encoding="utf-8") as file:
        yaml.safe_dump({**content, "names": names}, file, sort_keys=False, allow_unicode=True)
    return changes


def _lines(dataset: DetectionDataset, i: int, changes: Counter[str]) -> Iterator[str]:
    """A line for each object that a label can stand for."""
    objects = dataset.annotations
    height, width = dataset.sizes[i].tolist()
    limit = np.array([width, height], np.float64)
    rows = objects.rows(i)
    for n in range(rows.start, rows.stop):
        if objects.is_crowd[n] or objects.is_ignored[n]:
            changes["crowds and difficult objects left out: YOLO has no mark for them"] += 1
            continue
        x, y, box_width, box_height = objects.boxes[n].tolist()
        corners = np.array([[x, y], [x + box_width, y + box_height]])
        low, high = corners.clip(0, limit)
        if (high <= low).any():
            changes["boxes left out: without area, or outside the image"] += 1
            continue
        if np.abs(corners - corners.clip(-1, limit + 1)).max() > 0:
            changes["boxes clipped to their images"] += 1
        label = int(objects.labels[n])
        if not dataset.has_masks:
            numbers = np.concatenate([(low + high) / 2 / limit, (high - low) / limit])
        else:
            polygon = _polygon(dataset, n, (height, width), changes)
            if polygon is None:
                # A box among polygons would be read as one of two points.
                changes["objects without a mask written as rectangles"] += 1
                polygon = np.array([low, [high[0], low[1]], high, [low[0], high[1]]])
            numbers = (polygon.clip(0, limit) / limit).reshape(-1)
        yield " ".join([str(label), *(f"{number:.8g}" for number in numbers.tolist())])


def _polygon(
    dataset: DetectionDataset, n: int, size: tuple[int, int], changes: Counter[str]
) -> np.ndarray | None:
    """The mask of object ``n`` as one polygon (K, 2); None if it has none."""
    stored = dataset.annotations.segmentations
    assert stored is not None
    parts: Sequence[np.ndarray] = stored.polygons(n)
    code = stored.code(n)
    if code:
        parts = _outlines(decode_rle(code, size))
        changes["masks of pixels written as their outlines"] += bool(parts)
    return _joined(parts) if parts else None


def _outlines(bitmap: np.ndarray) -> list[np.ndarray]:
    """The outlines of a mask (H, W), each (K, 2) x, y along the edges of its pixels."""
    left, top, width, height = cv2.boundingRect(bitmap)
    window = bitmap[top : top + height, left : left + width]
    enlarged = window.repeat(_ENLARGED, 0).repeat(_ENLARGED, 1)
    contours, _ = cv2.findContours(enlarged, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [
        (contour[:, 0] + 0.5) / _ENLARGED + [left, top] for contour in contours if len(contour) >= 3
    ]


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Polygons as one, by bridges without width between the points that are closest."""
    joined = parts[0]
    for part in parts[1:]:
        distance = np.square(joined[:, None] - part).sum(2)
        i, j = np.unravel_index(distance.argmin(), distance.shape)
        loop = np.concatenate([part[j:], part[: j + 1]])
        joined = np.concatenate([joined[: i + 1], loop, joined[i:]])
    return joined
