"""Reads "CVAT for images 1.1": one XML file for all images.

Specification: https://docs.cvat.ai/docs/other/xml_format
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from detzoo.data.dataset import DetectionDataset
from detzoo.data.formats.annotation_files import find_files, images_of
from detzoo.data.formats.base import (
    UNDIVIDED,
    Format,
    ImageRecord,
    ObjectRecord,
    Source,
    split_name,
)
from detzoo.data.formats.build import build_dataset
from detzoo.data.formats.shapes import ellipse, extent, placed, rectangle, rotated
from detzoo.data.formats.sniff import beginning
from detzoo.data.formats.voc_xml import read_xml
from detzoo.data.reading import entry, read_each
from detzoo.errors import DataError
from detzoo.structures.segmentation import encode_rle

_NO_AREA = ("polyline", "points", "cuboid", "skeleton")


def _find(path: Path) -> dict[str, Source]:
    found = find_files(path, ".xml", _is_ours, _read)
    if found.keys() != {UNDIVIDED}:
        return found
    # The export of a project tells the split of each image.
    file = found[UNDIVIDED].path
    subsets = sorted({image.get("subset", "default") for image in _root(file).iter("image")})
    if len(subsets) < 2:
        return found
    return {
        split_name(name) or name: Source(file, partial(_read, file, subset=name))
        for name in subsets
    }


def _is_ours(file: Path) -> bool:
    return "<annotations>" in beginning(file, 4096)


def _root(file: Path) -> ET.Element:
    root = read_xml(file)
    if root.find("track") is not None:
        raise DataError(
            f"{file}: is in the format 'CVAT for video'. Export the task as 'CVAT for images 1.1'."
        )
    return root


def _read(file: Path, images: Path | None, subset: str | None = None) -> DetectionDataset:
    root = _root(file)
    entries = [
        item for item in root.findall("image") if subset in (None, item.get("subset", "default"))
    ]
    named = read_each(
        lambda k, item: (item, _text(item, "name", f"{file}: image {k}")),
        range(1, len(entries) + 1),
        entries,
    )
    names = [name for _, name in named]
    located = images_of(file, names, images)
    labels = [(name.text or "").strip() for name in root.iterfind("meta/*/labels/label/name")]
    if not labels:  # those of all subsets, so that they have the same classes
        found = {shape.get("label", "") for shape in root.iterfind("image/*") if shape.tag != "tag"}
        labels = sorted(found - {""})
    return build_dataset(
        read_each(
            _image,
            [item for item, _ in named],
            located.names,
            [f"{file}: image {asked!r}" for asked in names],
        ),
        source=file,
        image_dir=located.folder,
        class_names=labels or None,
        notes=located.notes,
    )


def _image(item: ET.Element, name: str, where: str) -> ImageRecord:
    height, width = (int(_number(item, key, where)) for key in ("height", "width"))
    objects, left_out = [], []
    for k, shape in enumerate(item, 1):
        if shape.tag in _NO_AREA:
            left_out.append(f"{shape.tag} has no box or area")
            continue
        with entry():
            if shape.tag != "tag":
                objects.append(_object(shape, (height, width), f"{where}: {shape.tag} {k}"))
    return ImageRecord(name, objects, where, (height, width), left_out=left_out)


def _object(shape: ET.Element, size: tuple[int, int], where: str) -> ObjectRecord:
    label = _text(shape, "label", where)
    if shape.tag == "box":
        x1, y1, x2, y2 = (_number(shape, key, where) for key in ("xtl", "ytl", "xbr", "ybr"))
        degrees = _number(shape, "rotation", where, default=0)
        corners = rotated(rectangle(x1, y1, x2, y2), ((x1 + x2) / 2, (y1 + y2) / 2), degrees)
        # Unturned corners would be rounded on the way.
        return ObjectRecord(label, extent(corners) if degrees else (x1, y1, x2 - x1, y2 - y1))
    if shape.tag == "polygon":
        return ObjectRecord(label, polygons=(_points(_text(shape, "points", where), where),))
    if shape.tag == "ellipse":
        x, y, rx, ry = (_number(shape, key, where) for key in ("cx", "cy", "rx", "ry"))
        degrees = _number(shape, "rotation", where, default=0)
        return ObjectRecord(label, polygons=(ellipse(x, y, rx, ry, degrees),))
    if shape.tag == "mask":
        return _mask(label, shape, size, where)
    raise DataError(f"{where}: is a shape that is not known. Export the task as COCO.")


def _mask(label: str, shape: ET.Element, size: tuple[int, int], where: str) -> ObjectRecord:
    """Run lengths, row by row within a box, first of what is outside."""
    left, top, width, height = (
        int(_number(shape, key, where)) for key in ("left", "top", "width", "height")
    )
    try:
        runs = [int(run) for run in _text(shape, "rle", where).split(",")]
    except ValueError:
        runs = [-1]
    if min(runs) < 0 or sum(runs) != width * height or not 0 < width * height <= size[0] * size[1]:
        raise DataError(
            f"{where}: its run lengths do not fill its box of {width} x {height} pixels."
        )
    part = np.repeat(np.arange(len(runs)) % 2, runs).reshape(height, width)
    bitmap = placed(part, left, top, size, where)
    return ObjectRecord(label, (left, top, width, height), rle=encode_rle(bitmap))


def _points(text: str, where: str) -> Sequence[float]:
    """``x,y;x,y;...``"""
    try:
        return [float(number) for point in text.split(";") for number in point.split(",")]
    except ValueError:
        raise DataError(f"{where}: its points are {text!r:.60} instead of x,y;x,y;...") from None


def _number(element: ET.Element, key: str, where: str, default: float | None = None) -> float:
    if default is not None and key not in element.attrib:
        return default
    text = _text(element, key, where)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where}: its {key} is {text!r} instead of a number.")
    return value


def _text(element: ET.Element, key: str, where: str) -> str:
    value = element.get(key)
    if value is None:
        raise DataError(f"{where}: has no {key}.")
    return value


FORMAT = Format(
    name="CVAT for images",
    layout="`annotations.xml` of an export as CVAT for images 1.1, with the images in `images/`",
    flags="occluded objects count; rotated boxes become upright ones; polylines, points, cuboids "
    "and skeletons are left out",
    find=_find,
    given="`DIR` or `annotations.xml`",
)
