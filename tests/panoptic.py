"""Generated panoptic data: colored objects before stuff, in COCO's format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

HEIGHT, WIDTH = 96, 128
THINGS = {"box": (200, 60, 60), "disk": (60, 200, 60)}
STUFF = {"sky": (220, 190, 120), "ground": (60, 90, 120)}
CATEGORIES: list[dict[str, Any]] = [
    {"id": 3, "name": "box", "isthing": 1},
    {"id": 7, "name": "disk", "isthing": 1},
    {"id": 100, "name": "sky", "isthing": 0},
    {"id": 140, "name": "ground", "isthing": 0},
]
CATEGORY = {category["name"]: category["id"] for category in CATEGORIES}


def scene(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, list[tuple[int, str]]]:
    """An image (H, W, 3) BGR, its ids (H, W), and id and class of each segment.

    The sky is above a horizon, with a stripe of void between it and the ground.
    """
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    ids = np.zeros((HEIGHT, WIDTH), np.int32)
    horizon = int(rng.integers(HEIGHT // 3, 2 * HEIGHT // 3))
    image[:horizon], image[horizon:] = STUFF["sky"], STUFF["ground"]
    ids[:horizon], ids[horizon + 2 :] = 70_000, 513
    segments = [(70_000, "sky"), (513, "ground")]
    for number in range(int(rng.integers(1, 4))):
        name = ("box", "disk")[int(rng.integers(2))]
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        x, y = int(rng.integers(16, WIDTH - 16)), int(rng.integers(16, HEIGHT - 16))
        size = int(rng.integers(9, 16))
        if name == "box":
            cv2.rectangle(mask, (x - size, y - size), (x + size, y + size), 1, -1)
        else:
            cv2.circle(mask, (x, y), size, 1, -1)
        image[mask > 0] = THINGS[name]
        ids[mask > 0] = 1000 + 300 * number
        segments.append((1000 + 300 * number, name))
    noise = rng.integers(-12, 13, image.shape)
    image = (image.astype(int) + noise).clip(0, 255).astype(np.uint8)
    return image, ids, [(i, name) for i, name in segments if (ids == i).any()]


def segment(ids: np.ndarray, number: int, category: int, **more: object) -> dict[str, Any]:
    """The entry of a segment."""
    rows, columns = np.nonzero(ids == number)
    left, top = int(columns.min()), int(rows.min())
    box = [left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top]
    entry = {"id": number, "category_id": category, "bbox": box, "area": len(rows), "iscrowd": 0}
    return {**entry, **more}


def write_map(file: Path, ids: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.stack([ids >> 16, ids >> 8 & 255, ids & 255], -1).astype(np.uint8)
    cv2.imwrite(str(file), pixels)


def write_panoptic_data(root: Path, *, train: int = 8, val: int = 4, seed: int = 0) -> Path:
    """COCO's layout below ``root``, which is returned."""
    for split, count in (("train", train), ("val", val)):
        rng = np.random.default_rng((seed, count, split == "val"))
        images, annotations = [], []
        name = f"panoptic_{split}2017"
        folder = root / f"{split}2017"
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(1, count + 1):
            image, ids, segments = scene(rng)
            cv2.imwrite(str(folder / f"{number}.png"), image)
            write_map(root / "annotations" / name / f"{number}.png", ids)
            images.append(
                {"id": number, "file_name": f"{number}.png", "height": HEIGHT, "width": WIDTH}
            )
            info = [segment(ids, one, CATEGORY[label]) for one, label in segments]
            annotations.append(
                {"image_id": number, "file_name": f"{number}.png", "segments_info": info}
            )
        content = {"images": images, "annotations": annotations, "categories": CATEGORIES}
        (root / "annotations" / f"{name}.json").write_text(json.dumps(content))
    return root
