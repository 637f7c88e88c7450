"""Small data sets with planted faults."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from detzoo.checks.finding import Split
from detzoo.data.locate import open_dataset

HEIGHT, WIDTH = 60, 80
Object = dict[str, Any]


def box(*bbox: float | str, image: int = 1, **more: Any) -> Object:
    """An object of class 1 in image 1, unless ``more`` says otherwise."""
    return {"image_id": image, "category_id": 1, "bbox": list(bbox), **more}


def picture(seed: int) -> np.ndarray:
    """Soft patches, as different from each other as photos are."""
    patches = np.random.default_rng(seed).uniform(0, 255, (6, 8, 3)).astype(np.float32)
    resized = cv2.resize(patches, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return resized.clip(0, 255).astype(np.uint8)


def plant(folder: Path, objects: Sequence[Object], *, split: str = "train", **more: Any) -> Split:
    """What :func:`plant_unread` writes, opened unchecked."""
    plant_unread(folder, objects, split=split, **more)
    return reopen(folder, split)


def plant_unread(
    folder: Path,
    objects: Sequence[Object],
    *,
    split: str = "train",
    images: int = 2,
    classes: Sequence[str] = ("cat", "dog"),
    seed: int = 0,
) -> None:
    """Writes images of 80 x 60 pixels and the ``objects``."""
    (folder / split).mkdir(parents=True)
    for k in range(1, images + 1):
        cv2.imwrite(str(folder / split / f"{k}.png"), picture(seed + k))
    content = {
        "images": [
            {"id": k, "file_name": f"{k}.png", "height": HEIGHT, "width": WIDTH}
            for k in range(1, images + 1)
        ],
        "annotations": [{"id": k, **one} for k, one in enumerate(objects, 1)],
        "categories": [{"id": k, "name": name} for k, name in enumerate(classes, 1)],
    }
    file = folder / "annotations" / f"{split}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content))


def reopen(folder: Path, split: str = "train") -> Split:
    return Split(split, open_dataset(folder, split, check=False))
