"""Reads labelme (https://github.com/wkentaro/labelme): a JSON file per image, beside it or not."""

from __future__ import annotations

import base64
import math
import os
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from detzoo.data.dataset import DetectionDataset
from detzoo.data.formats.annotation_files import images_of, split_of
from detzoo.data.formats.base import (
    SPLITS,
    UNDIVIDED,
    Format,
    ImageRecord,
    ObjectRecord,
    Source,
    counted,
)
from detzoo.data.formats.build import build_dataset
from detzoo.data.formats.image_files import folders_below
from detzoo.data.formats.shapes import ellipse, extent, placed, points_of, size_of
from detzoo.data.formats.sniff import files_of, json_outline
from detzoo.data.reading import entry, read_each
from detzoo.errors import DataError
from detzoo.files import read_json
from detzoo.structures.segmentation import encode_rle

Json = Any  # whatever a file may hold: nothing about it is trusted

_NO_AREA = ("line", "linestrip", "point", "points")


def _find(path: Path) -> dict[str, Source]:
    if not path.is_dir():
        return {}
    by_split: dict[str, list[Path]] = defaultdict(list)
    for folder in folders_below(path, depth=3):
        files = files_of(folder, ".json")
        if any(map(_is_ours, files[:5])):
            split = split_of(files[0].parent / "x", path)
            by_split[split if split in SPLITS else UNDIVIDED] += files
    return {
        split: Source(files[0].parent, partial(_read, files)) for split, files in by_split.items()
    }


def _is_ours(file: Path) -> bool:
    return "shapes" in json_outline(file).keys


def _read(files: list[Path], images: Path | None) -> DetectionDataset:
    contents = read_each(lambda file: (file, read_json(file)), files)
    others = len(contents) - sum(_has_shapes(content) for _, content in contents)
    named = read_each(
        lambda item: (*item, _image_name(item[0], item[1], files[0].parent)),
        [(file, content) for file, content in contents if _has_shapes(content)],
    )
    located = images_of(files[0], [name for _, _, name in named], images)
    return build_dataset(
        read_each(lambda item, name: _image(item[0], item[1], name), named, located.names),
        source=files[0].parent,
        image_dir=located.folder,
        notes=[
            *located.notes,
            *([f"{counted(others, 'JSON file')} without shapes left out"] * bool(others)),
        ],
    )


def _has_shapes(content: Json) -> bool:
    return isinstance(content, dict) and isinstance(content.get("shapes"), list)


def _image_name(file: Path, content: dict[str, Json], base: Path) -> str:
    """``imagePath`` is relative to the file; the result to ``base``."""
    name = content.get("imagePath")
    if not isinstance(name, str) or not name:
        raise DataError(f"{file}: its imagePath is {name!r} instead of the name of an image.")
    folder = os.path.relpath(file.parent, base).replace(os.sep, "/")
    return name if folder == "." else f"{folder}/{name}"


def _image(file: Path, content: dict[str, Json], name: str) -> ImageRecord:
    size = size_of(content.get("imageHeight"), content.get("imageWidth"))
    groups: dict[Json, list[ObjectRecord]] = defaultdict(list)
    left_out = []
    for k, shape in enumerate(content["shapes"]):
        with entry():
            where = f"{file}: shapes[{k}]"
            if not isinstance(shape, dict) or not isinstance(shape.get("label"), str):
                raise DataError(f"{where}: has no label.")
            kind = shape.get("shape_type", "polygon")
            if kind in _NO_AREA:
                left_out.append(f"shape {kind} has no area")
                continue
            # Shapes of one group are parts of one object.
            group = shape.get("group_id")
            key = (shape["label"], group) if isinstance(group, int) else k
            item = _object(shape, kind, size, where)
            groups[key].append(item)
    objects = [_joined(parts) for parts in groups.values()]
    return ImageRecord(name, objects, str(file), size, left_out=left_out)


def _object(
    shape: dict[str, Json], kind: str, size: tuple[int, int] | None, where: str
) -> ObjectRecord:
    points = points_of(shape.get("points"), where)
    label: str = shape["label"]
    if kind == "polygon":
        return ObjectRecord(label, polygons=(points,))
    if kind == "rectangle" and len(points) == 4:
        return ObjectRecord(label, extent(points))
    if kind == "circle" and len(points) == 4:
        radius = math.dist(points[:2], points[2:])
        return ObjectRecord(label, polygons=(ellipse(points[0], points[1], radius, radius),))
    if kind == "mask" and len(points) == 4 and size is not None:
        left, top = round(points[0]), round(points[1])
        bitmap = placed(_mask(shape, where), left, top, size, where)
        return ObjectRecord(label, cv2.boundingRect(bitmap), rle=encode_rle(bitmap))
    raise DataError(f"{where} ({label}): is a {kind!r} of {len(points) // 2} points, not read.")


def _mask(shape: dict[str, Json], where: str) -> np.ndarray:
    """An image in base64 that covers the pixels from the first point to the second."""
    try:
        data = base64.b64decode(shape.get("mask") or "")
        part = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    except (cv2.error, ValueError, TypeError):
        part = None
    if part is None:
        raise DataError(f"{where}: its mask is no image.")
    return part


def _joined(parts: list[ObjectRecord]) -> ObjectRecord:
    """One object of several shapes; where one of them is no polygon, it has just their box."""
    if len(parts) == 1:
        return parts[0]
    polygons = tuple(polygon for part in parts for polygon in part.polygons)
    if all(part.polygons for part in parts):
        return ObjectRecord(parts[0].class_name, polygons=polygons)
    corners = [n for polygon in polygons for n in polygon]
    for part in parts:
        if part.box is not None:
            x, y, width, height = part.box
            corners += [x, y, x + width, y + height]
    return ObjectRecord(parts[0].class_name, extent(corners))


FORMAT = Format(
    name="labelme",
    layout="a JSON file with `shapes` per image, beside the images or in a folder of their own",
    flags="shapes of one `group_id` are one object; lines and points are left out",
    find=_find,
)
