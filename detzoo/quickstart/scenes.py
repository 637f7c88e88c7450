"""Generated scenes of simple shapes, written as a COCO data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

CLASSES = ("circle", "square", "triangle", "star")
_MIN_RADIUS, _MAX_RADIUS = 13, 32
# Maximum rotation in either direction, in radians.
_MAX_ROTATION = 0.4
# Shapes may touch, so that they must be separated, but none occludes another.
_MAX_OVERLAP = 0.1
# Fractional bits of OpenCV's drawing coordinates.
_SHIFT = 4


def write_scenes(folder: Path, split: str, count: int, *, size: int = 160, seed: int = 0) -> Path:
    """Writes ``count`` scenes to ``folder/split``, and their annotations; returns the annotation
    file."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    (folder / split).mkdir(parents=True, exist_ok=True)
    for number in range(1, count + 1):
        rng = np.random.default_rng((seed, number))
        picture, shapes = draw_scene(rng, size)
        name = f"{number:04d}.png"
        cv2.imwrite(str(folder / split / name), picture)
        images.append({"id": number, "file_name": name, "height": size, "width": size})
        for label, polygon in shapes:
            annotations.append(_annotation(len(annotations) + 1, number, label, polygon))
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES)]
    path = folder / "annotations" / f"{split}.json"
    path.parent.mkdir(exist_ok=True)
    content = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(content))
    return path


def draw_scene(
    rng: np.random.Generator, size: int
) -> tuple[np.ndarray, list[tuple[int, np.ndarray]]]:
    """Draws an image (size, size, 3), and returns it with its shapes: label and polygon (K, 2)."""
    picture = _background(rng, size)
    shapes: list[tuple[int, np.ndarray]] = []
    for _ in range(rng.integers(2, 8)):
        label = int(rng.integers(len(CLASSES)))
        radius = rng.uniform(_MIN_RADIUS, _MAX_RADIUS)
        center = rng.uniform(radius, size - radius, 2)
        polygon = (
            _rotated(_outline(CLASSES[label]), rng.uniform(-_MAX_ROTATION, _MAX_ROTATION)) * radius
            + center
        )
        if any(_overlap(polygon, other) > _MAX_OVERLAP for _, other in shapes):
            continue
        inside = picture[int(center[1]), int(center[0])].astype(float)
        points = np.round((polygon - 0.5) * 2**_SHIFT).astype(np.int32)
        cv2.fillPoly(picture, [points], _contrasting(rng, inside), cv2.LINE_AA, _SHIFT)
        shapes.append((label, polygon))
    noise = rng.normal(0, 6, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8), shapes


def _background(rng: np.random.Generator, size: int) -> np.ndarray:
    """Soft patches of color, crossed by lines that are not shapes."""
    patches = rng.uniform(40, 216, (4, 4, 3)).astype(np.float32)
    picture = cv2.resize(patches, (size, size), interpolation=cv2.INTER_CUBIC)
    picture = np.clip(picture, 0, 255).astype(np.uint8)
    for _ in range(rng.integers(0, 3)):
        start, end = rng.integers(0, size, (2, 2)).tolist()
        color = rng.uniform(0, 255, 3).tolist()
        cv2.line(picture, start, end, color, int(rng.integers(1, 4)), cv2.LINE_AA)
    return picture


def _contrasting(rng: np.random.Generator, background: np.ndarray) -> tuple[float, ...]:
    while True:
        color = rng.uniform(0, 255, 3)
        if np.abs(color - background).max() > 70:
            return tuple(color.tolist())


def _outline(name: str) -> np.ndarray:
    """Corners (K, 2) on or inside the unit circle."""
    if name == "star":
        return _ring(10) * np.where(np.arange(10) % 2, 0.42, 1.0)[:, None]
    return _ring({"circle": 48, "square": 4, "triangle": 3}[name])


def _ring(corners: int) -> np.ndarray:
    angles = np.arange(corners) * 2 * np.pi / corners
    return np.stack([np.cos(angles), np.sin(angles)], 1)


def _rotated(points: np.ndarray, angle: float) -> np.ndarray:
    cosine, sine = np.cos(angle), np.sin(angle)
    return points @ np.array([[cosine, sine], [-sine, cosine]])


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection of the bounding boxes over the area of the smaller one."""
    low = np.maximum(a.min(0), b.min(0))
    high = np.minimum(a.max(0), b.max(0))
    smaller = min(np.prod(np.ptp(a, 0)), np.prod(np.ptp(b, 0)))
    return float(np.prod(np.clip(high - low, 0, None)) / smaller)


def _annotation(number: int, image: int, label: int, polygon: np.ndarray) -> dict[str, Any]:
    low, size = polygon.min(0), np.ptp(polygon, 0)
    x, y = polygon.T
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    return {
        "id": number,
        "image_id": image,
        "category_id": label + 1,
        "bbox": np.concatenate([low, size]).round(2).tolist(),
        "segmentation": [polygon.reshape(-1).round(2).tolist()],
        "area": round(float(area), 2),
        "iscrowd": 0,
    }
