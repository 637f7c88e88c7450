"""Reads image folders of Hugging Face: ``metadata.jsonl`` beside the images.

A line is ``{"file_name": "1.png", "objects": {"bbox": [[x, y, width, height]], "category": [0]}}``
(https://huggingface.co/docs/datasets/image_dataset#object-detection). Categories are names, or
numbers that README.md may have the names of (``class_label`` of its ``dataset_info``).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from detzoo.data.dataset import DetectionDataset
from detzoo.data.formats.annotation_files import find_files, images_of
from detzoo.data.formats.base import Format, ImageRecord, ObjectRecord
from detzoo.data.formats.build import build_dataset
from detzoo.data.formats.json_lines import json_lines
from detzoo.data.formats.shapes import is_coordinate
from detzoo.data.formats.sniff import beginning, json_outline
from detzoo.errors import DataError

_CATEGORIES = ("categories", "category", "labels", "label")


def _is_ours(file: Path) -> bool:
    outline = json_outline(file)
    return {"file_name", "objects"} <= outline.keys and "bbox" in outline.inner


def _read(file: Path, images: Path | None) -> DetectionDataset:
    entries = list(json_lines(file))
    for entry, where in entries:
        if not isinstance(entry.get("file_name"), str):
            raise DataError(f"{where}: has no file_name.")
    found = [_objects(entry.get("objects"), where) for entry, where in entries]
    names = _class_names(file)
    numbers = {number for objects in found for number, _ in objects if isinstance(number, int)}
    notes = []
    if numbers and not names:
        names = [str(number) for number in range(max(numbers) + 1)]
        notes.append("README.md names no classes (class_label): they are called 0, 1, ...")
    located = images_of(file, [entry["file_name"] for entry, _ in entries], images)
    return build_dataset(
        [
            ImageRecord(name, [_object(item, names, where) for item in objects], where)
            for (_, where), name, objects in zip(entries, located.names, found)
        ],
        source=file,
        image_dir=located.folder,
        class_names=names if numbers else None,
        notes=[*located.notes, *notes],
    )


def _objects(objects: Any, where: str) -> list[tuple[int | str, list[float]]]:
    """The categories and boxes of an image."""
    content = objects if isinstance(objects, dict) else {}
    boxes = content.get("bbox")
    categories = next((content[key] for key in _CATEGORIES if key in content), None)
    if not isinstance(boxes, list) or not isinstance(categories, list):
        raise DataError(f"{where}: objects have no lists bbox and categories.")
    if len(boxes) != len(categories):
        raise DataError(f"{where}: has {len(boxes)} boxes, but {len(categories)} categories.")
    for box, category in zip(boxes, categories):
        if not isinstance(box, list) or len(box) != 4 or not all(map(is_coordinate, box)):
            raise DataError(f"{where}: the bbox {box!r:.60} is not [x, y, width, height].")
        if type(category) not in (int, str) or (isinstance(category, int) and category < 0):
            raise DataError(f"{where}: the category {category!r} is neither a number nor a name.")
    return list(zip(categories, boxes))


def _object(
    item: tuple[int | str, Sequence[float]], names: Sequence[str], where: str
) -> ObjectRecord:
    category, (x, y, width, height) = item
    if isinstance(category, int) and category >= len(names):
        raise DataError(f"{where}: the category {category} is not one of 0 to {len(names) - 1}.")
    name = names[category] if isinstance(category, int) else category
    return ObjectRecord(name, (x, y, width, height))


def _class_names(file: Path) -> list[str]:
    """Those of the dataset card in the folder of the file or above; none where it has none."""
    for folder in (file.parent, file.parent.parent, file.parent.parent.parent):
        parts = beginning(folder / "README.md").split("---\n")
        if len(parts) < 3:
            continue
        try:
            card = yaml.load(parts[1], yaml.BaseLoader)
        except (yaml.YAMLError, RecursionError):
            continue
        labels = _class_label(card)
        if labels:
            return [labels[key] for key in sorted(labels, key=int)]
    return []


def _class_label(content: Any) -> dict[str, str]:
    """The names of the first ``class_label`` in a dataset card, by their numbers."""
    if isinstance(content, dict):
        label = content.get("class_label")
        names = label.get("names") if isinstance(label, dict) else None
        if isinstance(names, dict) and all(str(key).isdecimal() for key in names):
            return {str(key): str(name) for key, name in names.items()}
    inner = content.values() if isinstance(content, dict) else content
    if isinstance(content, (dict, list)):
        return next(filter(None, map(_class_label, inner)), {})
    return {}


FORMAT = Format(
    name="Hugging Face",
    layout="`metadata.jsonl` with `file_name` and `objects` (`bbox` and `categories`) beside the "
    "images, by split or not; `README.md` may name the classes. Not Parquet",
    flags="the format has none",
    given="`DIR` or `metadata.jsonl`",
    find=partial(find_files, suffix="metadata.jsonl", is_ours=_is_ours, read=_read),
)
