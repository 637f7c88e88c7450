"""Small data sets of text files and images of 100 x 50 pixels (width x height)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2

from detzoo.data.locate import open_dataset
from tests.data.files import noise


def write(root: Path, files: Mapping[str, str]) -> Path:
    """Text files with their content; of names of images, the image whatever the content."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith((".jpg", ".png")):
            cv2.imwrite(str(root / name), noise(50, 100))
        else:
            (root / name).write_text(content, "utf-8")
    return root


def boxes(path: Path, split: str = "train") -> list[tuple[str, list[float]]]:
    """The class and the corners of every object that is learned from, image by image."""
    data = open_dataset(path, split)
    found = []
    for i in range(len(data)):
        targets = data.targets(i)
        for label, box in zip(targets.labels.tolist(), targets.boxes.tolist()):
            found.append((data.class_names[label], [round(number, 2) for number in box]))
    return found
