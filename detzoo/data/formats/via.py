"""Reads the VGG Image Annotator, versions 1 and 2: annotations in JSON or CSV, or a whole project.

Specification: https://www.robots.ox.ac.uk/~vgg/software/via
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from detzoo.data.dataset import DetectionDataset
from detzoo.data.formats.annotation_files import find_files, images_of
from detzoo.data.formats.base import Format, ImageRecord, ObjectRecord, Source
from detzoo.data.formats.build import build_dataset
from detzoo.data.formats.shapes import ellipse, is_coordinate, points_of
from detzoo.data.formats.sniff import csv_rows, first_row, json_outline
from detzoo.data.reading import entry, read_each
from detzoo.errors import DataError
from detzoo.files import read_json

Json = Any  # whatever a file may hold: nothing about it is trusted

_CLASS_ATTRIBUTES = ("class", "label", "name", "type", "category", "object")
_NO_AREA = ("point", "polyline")
# What all objects are called where regions have no attributes.
_ONLY_CLASS = "object"


def _is_ours(file: Path) -> bool:
    outline = json_outline(file)
    is_project = "_via_img_metadata" in outline.keys or "_via_settings" in outline.keys
    return is_project or {"filename", "regions"} <= outline.inner


def _is_table(file: Path) -> bool:
    return {"region_shape_attributes", "region_attributes"} <= set(first_row(file))


def _find(path: Path) -> dict[str, Source]:
    return {
        **find_files(path, ".csv", _is_table, _read_table),
        **find_files(path, ".json", _is_ours, _read),
    }


def _read(file: Path, images: Path | None) -> DetectionDataset:
    content = read_json(file)
    if isinstance(content, dict):
        content = content.get("_via_img_metadata", content)
    return _dataset(list(content.values()) if isinstance(content, dict) else [], file, images)


def _read_table(file: Path, images: Path | None) -> DetectionDataset:
    """A line per region, its attributes in JSON; an image without regions has one line, too."""
    rows = csv_rows(file)
    header = [name.lstrip("#") for name in next(rows)]
    entries: dict[str, dict[str, Json]] = {}
    for k, row in enumerate(rows, 2):
        with entry():
            where = f"{file}: line {k}"
            if len(row) != len(header):
                raise DataError(f"{where}: has {len(row)} columns instead of {len(header)}.")
            cells = dict(zip(header, row))
            keys = ("region_shape_attributes", "region_attributes")
            try:
                shape, attributes = (json.loads(cells[key] or "{}") for key in keys)
            except (ValueError, RecursionError):
                raise DataError(f"{where}: its attributes are not valid JSON.") from None
            name = cells.get("filename", "")
            regions = entries.setdefault(name, {"filename": name, "regions": []})["regions"]
            if shape:
                regions.append({"shape_attributes": shape, "region_attributes": attributes})
    return _dataset([*entries.values()], file, images)


def _dataset(entries: Sequence[Json], file: Path, images: Path | None) -> DetectionDataset:
    files = read_each(partial(_checked, file=file), entries, range(1, len(entries) + 1))
    located = images_of(file, [item["filename"] for item in files], images)
    regions = [_regions(item, file) for item in files]
    attribute = _class_attribute([region for found in regions for region in found], file)
    notes = list(located.notes)
    if attribute is None:
        notes.append(f"regions have no attributes: their class is called {_ONLY_CLASS!r}")
    return build_dataset(
        [
            _image(name, found, attribute, f"{file}: {item['filename']}")
            for item, name, found in zip(files, located.names, regions)
        ],
        source=file,
        image_dir=located.folder,
        notes=notes,
    )


def _checked(item: Json, number: int, file: Path) -> dict[str, Json]:
    if not isinstance(item, dict) or not isinstance(item.get("filename"), str):
        raise DataError(f"{file}: entry {number} has no filename.")
    return item


def _regions(item: dict[str, Json], file: Path) -> list[dict[str, Json]]:
    """A list or, in version 1, an object with the numbers of regions as keys."""
    regions = item.get("regions", [])
    found = list(regions.values()) if isinstance(regions, dict) else regions
    with entry():
        if not isinstance(found, list) or not all(
            isinstance(r, dict) and isinstance(r.get("shape_attributes"), dict) for r in found
        ):
            raise DataError(f"{file}: {item['filename']}: has a region without shape_attributes.")
        return found
    return []


def _class_attribute(regions: Sequence[dict[str, Json]], file: Path) -> str | None:
    """The attribute that holds the class: the only one, or one that is called like it."""
    counts = Counter(key for region in regions for key in _attributes(region))
    if len(counts) < 2:
        return next(iter(counts), None)
    named = [key for key in counts if key.lower() in _CLASS_ATTRIBUTES]
    if len(named) != 1:
        raise DataError(
            f"{file}: its regions have the attributes {', '.join(counts)}. Call the one that "
            "is the class 'class', and none of the others."
        )
    return named[0]


def _attributes(region: dict[str, Json]) -> dict[str, Json]:
    found = region.get("region_attributes")
    return found if isinstance(found, dict) else {}


def _image(
    name: str, regions: list[dict[str, Json]], attribute: str | None, where: str
) -> ImageRecord:
    objects, left_out = [], []
    for k, region in enumerate(regions, 1):
        shape = region["shape_attributes"]
        if shape.get("name") in _NO_AREA:
            left_out.append(f"{shape['name']} has no area")
            continue
        with entry():
            class_name = _class_name(region, attribute, f"{where}: region {k}")
            objects.append(_object(class_name, shape, f"{where}: region {k}"))
    return ImageRecord(name, objects, where, left_out=left_out)


def _class_name(region: dict[str, Json], attribute: str | None, where: str) -> str:
    if attribute is None:
        return _ONLY_CLASS
    value = _attributes(region).get(attribute)
    if isinstance(value, dict):  # of check boxes, those that are ticked
        value = next((key for key, ticked in value.items() if ticked), None)
    if value is None or not str(value).strip():
        raise DataError(f"{where}: has no {attribute!r}, which the others have as their class.")
    return str(value).strip()


def _object(class_name: str, shape: dict[str, Json], where: str) -> ObjectRecord:
    kind = shape.get("name")
    if kind == "rect":
        x, y, width, height = _numbers(shape, ("x", "y", "width", "height"), where)
        return ObjectRecord(class_name, (x, y, width, height))
    if kind == "polygon":
        xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
        if not (isinstance(xs, list) and isinstance(ys, list) and len(xs) == len(ys) > 0):
            raise DataError(f"{where}: all_points_x and all_points_y are not of one length.")
        points = points_of([list(pair) for pair in zip(xs, ys)], where)
        return ObjectRecord(class_name, polygons=(points,))
    if kind == "circle":
        x, y, radius = _numbers(shape, ("cx", "cy", "r"), where)
        return ObjectRecord(class_name, polygons=(ellipse(x, y, radius, radius),))
    if kind == "ellipse":
        x, y, rx, ry = _numbers(shape, ("cx", "cy", "rx", "ry"), where)
        return ObjectRecord(class_name, polygons=(ellipse(x, y, rx, ry),))
    raise DataError(f"{where}: is of the shape {kind!r}, which is not known.")


def _numbers(shape: dict[str, Json], keys: Sequence[str], where: str) -> list[float]:
    for key in keys:
        if not is_coordinate(shape.get(key)):
            raise DataError(f"{where}: its {key} is {shape.get(key)!r} instead of a number.")
    return [float(shape[key]) for key in keys]


FORMAT = Format(
    name="VGG VIA",
    layout="`via_region_data.json`, the same as `.csv`, or a saved project, a file per split, with "
    "the images beside it",
    flags="the format has none; points and polylines are left out",
    given="`DIR`, `FILE.json` or `FILE.csv`",
    find=_find,
)
