"""Reads Label Studio's JSON and JSON-MIN exports.

Specification: https://labelstud.io/guide/export and https://labelstud.io/tags/rectanglelabels
"""

from __future__ import annotations

import os
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from detzoo.data.dataset import DetectionDataset
from detzoo.data.formats.annotation_files import find_files, images_of
from detzoo.data.formats.base import Format, ImageRecord, ObjectRecord, counted
from detzoo.data.formats.build import build_dataset
from detzoo.data.formats.image_files import is_image_name
from detzoo.data.formats.shapes import (
    ellipse,
    extent,
    is_coordinate,
    points_of,
    rectangle,
    rotated,
    size_of,
)
from detzoo.data.formats.sniff import json_outline
from detzoo.data.reading import entry, read_each
from detzoo.errors import DataError
from detzoo.files import read_json

Json = Any  # whatever a file may hold: nothing about it is trusted

_UPLOAD_PREFIX = 9  # "4425adf9-", before the name of an uploaded file


def _is_ours(file: Path) -> bool:
    outline = json_outline(file)
    if outline.kind != "list":
        return False
    is_full = "data" in outline.inner and "annotations" in outline.inner
    return is_full or {"annotator", "annotation_id", "lead_time"} <= outline.inner


def _read(file: Path, images: Path | None) -> DetectionDataset:
    tasks, notes = _tasks(read_json(file), file)
    names = [_image_name(address) for address, _, _ in tasks]
    located = images_of(file, _without_upload_prefix(file, names, images), images)
    return build_dataset(
        read_each(lambda name, task: _image(name, *task[1:]), located.names, tasks),
        source=file,
        image_dir=located.folder,
        notes=[*located.notes, *notes],
    )


def _tasks(content: Json, file: Path) -> tuple[list[tuple[str, list[Json], str]], list[str]]:
    """(address of the image, result, where) of each task that somebody has annotated."""
    if not isinstance(content, list):
        raise DataError(f"{file}: holds no list of tasks.")
    tasks = []
    skipped = several = 0
    for k, task in enumerate(content):
        with entry():
            where = f"{file}: task {k + 1}"
            address, results = _address(task, where), _results(task, where)
            several += len(results) > 1
            skipped += not results
            if results:
                tasks.append((address, results[0], where))
    notes = []
    if skipped:
        notes.append(f"{counted(skipped, 'image')} left out: not annotated")
    if several:
        notes.append(
            f"{counted(several, 'image')} annotated several times: the ground truth or the first "
            "one counts"
        )
    return tasks, notes


def _address(task: Json, where: str) -> str:
    """That of the image of a task."""
    if not isinstance(task, dict):
        raise DataError(f"{where}: is {task!r:.60} instead of an object.")
    data = task.get("data", task)
    for value in data.values() if isinstance(data, dict) else ():
        if isinstance(value, str) and _is_image_address(value):
            return value
    raise DataError(f"{where}: its data name no image file.")


def _is_image_address(value: str) -> bool:
    try:
        return is_image_name(_image_name(value))
    except ValueError:  # no address
        return False


def _image_name(address: str) -> str:
    """The path of ``/data/upload/1/a.jpg``, ``s3://x/a.jpg``, ``/data/local-files/?d=x/a.jpg``."""
    parts = urlsplit(address)
    local = parse_qs(parts.query).get("d", [""])[0]
    return unquote(local or parts.path).lstrip("/")


def _without_upload_prefix(file: Path, names: list[str], images: Path | None) -> list[str]:
    """Uploaded files are called ``4425adf9-a.jpg``; who keeps his own copies has ``a.jpg``."""
    plain = []
    for name in names:
        folder, base = os.path.split(name)
        has_prefix = "upload/" in name and base[8:9] == "-"
        plain.append(os.path.join(folder, base[_UPLOAD_PREFIX:]) if has_prefix else name)
    try:
        images_of(file, names, images)
    except DataError:
        return plain
    return names


def _results(task: dict[str, Json], where: str) -> list[list[Json]]:
    """The results of those who have annotated the task, the approved one first."""
    if "data" not in task:  # JSON-MIN has the values under the names of their controls
        values = [value for value in task.values() if isinstance(value, list)]
        regions = [item for value in values for item in value if isinstance(item, dict)]
        return [[{**region, "value": region} for region in regions]]
    annotations = task.get("annotations")
    if not isinstance(annotations, list) or not all(isinstance(a, dict) for a in annotations):
        raise DataError(f"{where}: its annotations are not a list of objects.")
    done = [a for a in annotations if not a.get("was_cancelled")]
    done.sort(key=lambda a: not a.get("ground_truth"))
    return [a["result"] for a in done if isinstance(a.get("result"), list)]


def _image(name: str, result: list[Json], where: str) -> ImageRecord:
    regions: dict[Json, list[Json]] = defaultdict(list)
    for k, item in enumerate(result):
        if not isinstance(item, dict) or not isinstance(item.get("value"), dict):
            raise DataError(f"{where}: result {k + 1} has no value.")
        # A shape and its label may be two entries of one id.
        identity = item.get("id")
        regions[identity if isinstance(identity, str) else k].append(item)
    objects, left_out = [], []
    size = None
    for k, items in enumerate(regions.values(), 1):
        value = {key: v for item in items for key, v in item["value"].items()}
        if items[0].get("image_rotation"):
            raise DataError(f"{where}: the image was turned in Label Studio. Export it as COCO.")
        height, width = (items[0].get(f"original_{side}") for side in ("height", "width"))
        size = size_of(height, width) or size
        if "rle" in value:
            left_out.append("brush masks are not read: export them as COCO")
        elif "keypointlabels" in value:
            left_out.append("key points have no area")
        elif not {"x", "points"} & value.keys():
            continue  # a choice, a text or a rating
        elif _label(value) is None:
            left_out.append("regions without a label")
        else:
            with entry():
                objects.append(_object(value, size, f"{where}: region {k}"))
    return ImageRecord(name, objects, where, size, in_fractions=True, left_out=left_out)


def _label(value: dict[str, Json]) -> str | None:
    for key, labels in value.items():
        if key.endswith("labels") and isinstance(labels, list) and labels:
            return str(labels[0])
    return None


def _object(value: dict[str, Json], size: tuple[int, int] | None, where: str) -> ObjectRecord:
    """Values are percent of the image. Turning needs its shape: pixels are square, percents not."""
    label = _label(value)
    height, width = size or (100, 100)
    if "points" in value:
        points = points_of(value["points"], where)
        return ObjectRecord(label, polygons=([n / 100 for n in points],))
    degrees = _number(value, "rotation", where, default=0)
    x, y = _number(value, "x", where) * width / 100, _number(value, "y", where) * height / 100
    if "radiusX" in value:
        rx = _number(value, "radiusX", where) * width / 100
        ry = _number(value, "radiusY", where) * height / 100
        polygon = ellipse(x, y, rx, ry, degrees)
        return ObjectRecord(label, polygons=(_fractions(polygon, height, width),))
    w, h = (
        _number(value, "width", where) * width / 100,
        _number(value, "height", where) * height / 100,
    )
    if degrees and size is None:
        raise DataError(f"{where}: is turned, and its image has no original_width and -height.")
    # It is turned about its top left corner.
    box = (
        extent(rotated(rectangle(x, y, x + w, y + h), (x, y), degrees)) if degrees else (x, y, w, h)
    )
    x, y, w, h = box
    return ObjectRecord(label, (x / width, y / height, w / width, h / height))


def _fractions(points: list[float], height: int, width: int) -> list[float]:
    return [n / (height if axis % 2 else width) for axis, n in enumerate(points)]


def _number(value: dict[str, Json], key: str, where: str, default: float | None = None) -> float:
    number = value.get(key, default)
    if number is None or not is_coordinate(number):
        raise DataError(f"{where}: its {key} is {number!r} instead of a number.")
    return float(number)


FORMAT = Format(
    name="Label Studio",
    layout="its JSON or JSON-MIN export, with the images in any folder beside it",
    flags="skipped tasks, brush masks and key points are left out; rotated boxes become upright "
    "ones; of several annotations, the ground truth or the first counts",
    given="`DIR` or `FILE.json`",
    find=partial(find_files, suffix=".json", is_ours=_is_ours, read=_read),
)
