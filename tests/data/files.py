"""Small data sets for tests, written to disk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

CATEGORIES = [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}]


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth noise (H, W, 3) uint8, which survives JPEG and resizing recognisably."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def annotation(number: int, image: int, box: Sequence[float], **changes: Any) -> dict[str, Any]:
    """A COCO annotation of a cat with a rectangular mask; a change to None leaves the key out."""
    x, y, w, h = box
    polygon = [x, y, x + w, y, x + w, y + h, x, y + h]
    entry = {
        "id": number,
        "image_id": image,
        "category_id": 3,
        "bbox": list(box),
        "area": w * h,
        "iscrowd": 0,
        "segmentation": [polygon],
    }
    return {key: value for key, value in {**entry, **changes}.items() if value is not None}


def write_coco(
    folder: Path,
    sizes: Sequence[tuple[int, int]],
    annotations: Sequence[dict[str, Any]],
    *,
    split: str = "train",
    changes: Mapping[str, Any] | None = None,
) -> Path:
    """``annotations/{split}.json`` and images 1, 2, ... of ``sizes`` in ``{split}/``.

    ``changes`` replace whole lists of the file.
    """
    (folder / split).mkdir(parents=True, exist_ok=True)
    (folder / "annotations").mkdir(exist_ok=True)
    images = []
    for number, (height, width) in enumerate(sizes, 1):
        cv2.imwrite(str(folder / split / f"{number}.png"), noise(height, width, number))
        images.append(
            {"id": number, "file_name": f"{number}.png", "height": height, "width": width}
        )
    content = {"images": images, "annotations": list(annotations), "categories": CATEGORIES}
    file = folder / "annotations" / f"{split}.json"
    file.write_text(json.dumps({**content, **(changes or {})}))
    return file


def voc_object(name: str, box: Sequence[float], extra: str = "") -> str:
    corners = "".join(
        f"<{key}>{value}</{key}>" for key, value in zip(("xmin", "ymin", "xmax", "ymax"), box)
    )
    return f"<object><name>{name}</name>{extra}<bndbox>{corners}</bndbox></object>"


def write_voc(root: Path, images: dict[str, str], splits: dict[str, Sequence[str]]) -> Path:
    """A VOC folder of images of 60 x 40 pixels (width x height); ``images`` are XML objects."""
    for name in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name, objects in images.items():
        cv2.imwrite(str(root / "JPEGImages" / f"{name}.jpg"), noise(40, 60))
        (root / "Annotations" / f"{name}.xml").write_text(
            "<annotation><size><width>60</width><height>40</height><depth>3</depth></size>"
            f"{objects}</annotation>"
        )
    for split, names in splits.items():
        (root / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(names) + "\n")
    return root
