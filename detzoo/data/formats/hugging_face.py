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
from detzoo.data.reading import read_each
from detzoo.errors import DataError

# A category, by its number or name, and a box x, y, width, height.
Labeled = tuple[int | str, list[float]]
_CATEGORIES = ("categories", "category", "labels", "label")


def _is_ours(file: Path) -> bool:
    outline = json_outline(file)
    return {"file_name", "objects"} <= outline.keys and "bbox" in outline.inner


def _read(file: Path, images: Path | None) -> DetectionDataset:
    lines = read_each(_line, json_lines(file))
    located = images_of(file, [name for name, _, _ in lines], images)
    names, notes = numbered_classes([found for _, found, _ in lines], card_names(file))
    return build_dataset(
        [
            ImageRecord(name, objects_of(found, names, where), where)
            for name, (_, found, where) in zip(located.names, lines)
        ],
        source=file,
        image_dir=located.folder,
        class_names=names,
        notes=[*located.notes, *notes],
    )


def _line(line: tuple[dict[str, Any], str]) -> tuple[str, list[Labeled], str]:
    """The file, the objects and the place of a line."""
    content, where = line
    name = content.get("file_name")
    if not isinstance(name, str):
        raise DataError(f"{where}: has no file_name.")
    return name, labeled_boxes(content.get("objects"), where), where


def numbered_classes(
    found: Sequence[Sequence[Labeled]], names: Sequence[str]
) -> tuple[Sequence[str] | None, list[str]]:
    """The classes by their numbers, ``names`` if there are any, and a note where there are none;
    None where all objects have names instead of numbers."""
    numbers = [category for objects in found for category, _ in objects if type(category) is int]
    if not numbers or names:
        return names if numbers else None, []
    note = "README.md names no classes (class_label): they are called 0, 1, ..."
    return [str(number) for number in range(max(numbers) + 1)], [note]


def labeled_boxes(objects: Any, where: str) -> list[Labeled]:
    """The categories and boxes of an image, of ``{"bbox": [...], "category": [...]}``."""
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


def objects_of(
    found: Sequence[Labeled], names: Sequence[str] | None, where: str
) -> list[ObjectRecord]:
    """The objects of an image, whose classes have ``names`` if they are numbers."""
    return read_each(lambda item: _object(item[0], item[1], names or (), where), found)


def _object(
    category: int | str, box: Sequence[float], names: Sequence[str], where: str
) -> ObjectRecord:
    x, y, width, height = box
    if isinstance(category, int) and category >= len(names):
        raise DataError(f"{where}: the category {category} is not one of 0 to {len(names) - 1}.")
    name = names[category] if isinstance(category, int) else category
    return ObjectRecord(name, (x, y, width, height))


def card_names(file: Path) -> list[str]:
    """Those of the dataset card in the folder of the file or above; none where it has none."""
    for folder in (file.parent, file.parent.parent, file.parent.parent.parent):
        parts = beginning(folder / "README.md").split("---\n")
        if len(parts) < 3:
            continue
        try:
            card = yaml.load(parts[1], yaml.BaseLoader)
        except (yaml.YAMLError, RecursionError):
            continue
        labels = _class_label(_objects_feature(card) or card)
        if labels:
            return [labels[key] for key in sorted(labels, key=int)]
    return []


def _objects_feature(content: Any) -> Any:
    """What a dataset card says of the column ``objects``; None where it says nothing."""
    if isinstance(content, dict) and content.get("name") == "objects":
        return content
    inner = content.values() if isinstance(content, dict) else content
    if isinstance(content, (dict, list)):
        return next(filter(None, map(_objects_feature, inner)), None)
    return None


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
    "images, by split or not; `README.md` may name the classes",
    flags="the format has none",
    given="`DIR` or `metadata.jsonl`",
    find=partial(find_files, suffix="metadata.jsonl", is_ours=_is_ours, read=_read),
)
