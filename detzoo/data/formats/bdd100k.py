"""Reads BDD100K's object detection (https://doc.bdd100k.com/format.html), in Scalabel's format.

A file is a list of frames, or has them as ``frames``; each has labels with a ``category`` and a
``box2d``, whose corners are the first and the last pixel, so a box ends a pixel further.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from detzoo.data.dataset import DetectionDataset
from detzoo.data.formats.annotation_files import find_files, images_of
from detzoo.data.formats.base import Format, ImageRecord, ObjectRecord, split_name
from detzoo.data.formats.build import build_dataset
from detzoo.data.formats.shapes import is_coordinate
from detzoo.data.formats.sniff import beginning, json_outline
from detzoo.data.reading import entry, read_each
from detzoo.errors import DataError
from detzoo.files import read_json

_CORNERS = ("x1", "y1", "x2", "y2")


def _is_ours(file: Path) -> bool:
    outline = json_outline(file)
    frames = outline.inner if outline.kind == "list" or "frames" in outline.keys else set()
    return {"name", "labels"} <= frames and '"box2d"' in beginning(file)


def _read(file: Path, images: Path | None) -> DetectionDataset:
    content = read_json(file)
    frames = content.get("frames") if isinstance(content, dict) else content
    if not isinstance(frames, list):
        raise DataError(f"{file}: has no list of frames.")
    frames = read_each(partial(_checked, file=file), frames, range(1, len(frames) + 1))
    folder = _published_folder(file) if images is None else images
    located = images_of(file, [frame["name"] for frame in frames], folder)
    return build_dataset(
        read_each(_image, frames, located.names, [f"{file}: {frame['name']}" for frame in frames]),
        source=file,
        image_dir=located.folder,
        notes=located.notes,
    )


def _checked(frame: Any, number: int, file: Path) -> dict[str, Any]:
    if not isinstance(frame, dict) or not isinstance(frame.get("name"), str):
        raise DataError(f"{file}: frame {number} has no name.")
    return frame


def _published_folder(file: Path) -> Path | None:
    """``images/100k/train`` beside the ``labels`` around the file, where it is there."""
    split = split_name(file.stem)
    places = [
        around / "images" / part / split
        for around in list(file.resolve().parents)[:3]
        for part in ("100k", "10k")
        if split
    ]
    return next((place for place in places if place.is_dir()), None)


def _image(frame: dict[str, Any], name: str, where: str) -> ImageRecord:
    objects, left_out = [], []
    labels = frame.get("labels") or []
    if not isinstance(labels, list):
        raise DataError(f"{where}: its labels are {labels!r:.60} instead of a list.")
    for label in labels:
        with entry():
            if not isinstance(label, dict) or not isinstance(label.get("category"), str):
                raise DataError(f"{where}: a label has no category.")
            if label.get("box2d") is None:
                left_out.append(f"{label['category']} has no box")
            else:
                objects.append(_object(label, where))
    return ImageRecord(name, objects, where, left_out=left_out)


def _object(label: dict[str, Any], where: str) -> ObjectRecord:
    box = label["box2d"]
    corners: list[Any] = [box.get(key) for key in _CORNERS] if isinstance(box, dict) else [None]
    if not all(map(is_coordinate, corners)):
        raise DataError(f"{where}: the box2d {box!r:.80} is not x1, y1, x2, y2.")
    x1, y1, x2, y2 = corners
    attributes = label.get("attributes")
    flags = attributes if isinstance(attributes, dict) else {}
    return ObjectRecord(
        label["category"],
        (x1, y1, x2 - x1 + 1, y2 - y1 + 1),
        is_crowd=flags.get("crowd") is True,
        ignored="ignored" if flags.get("ignored") is True else "",
    )


FORMAT = Format(
    name="BDD100K",
    layout="`labels/det_20/det_{split}.json` or `bdd100k_labels_images_{split}.json`, and "
    "`images/100k/{split}/`",
    flags="`crowd` makes a crowd; `ignored` objects are ignored; occluded and truncated ones "
    "count; lanes and drivable areas are left out",
    given="`DIR` or `FILE.json`",
    find=partial(find_files, suffix=".json", is_ours=_is_ours, read=_read),
)
