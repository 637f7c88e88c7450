"""Reads CrowdHuman (https://www.crowdhuman.org): an ``.odgt`` file, a line of JSON per image.

Each person has the boxes of the full body (``fbox``), of the head and of what is visible. The full
body is what detectors of the paper are trained on; it may reach beyond the image.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from detzoo.data.dataset import DetectionDataset
from detzoo.data.formats.annotation_files import find_files, images_of
from detzoo.data.formats.base import Format, ImageRecord, ObjectRecord
from detzoo.data.formats.build import build_dataset
from detzoo.data.formats.json_lines import json_lines
from detzoo.data.formats.shapes import is_coordinate
from detzoo.data.formats.sniff import json_outline
from detzoo.data.reading import read_each
from detzoo.errors import DataError

CLASS = "person"


def _is_ours(file: Path) -> bool:
    return "gtboxes" in json_outline(file).keys


def _read(file: Path, images: Path | None) -> DetectionDataset:
    lines = read_each(_checked, json_lines(file))
    located = images_of(file, [f"{line['ID']}.jpg" for line, _ in lines], images)
    records = [
        ImageRecord(name, read_each(partial(_object, where=where), line["gtboxes"]), where)
        for (line, where), name in zip(lines, located.names)
    ]
    return build_dataset(
        records,
        source=file,
        image_dir=located.folder,
        class_names=(CLASS,),
        notes=located.notes,
    )


def _checked(line: tuple[dict[str, Any], str]) -> tuple[dict[str, Any], str]:
    content, where = line
    if not isinstance(content.get("ID"), str) or not isinstance(content.get("gtboxes"), list):
        raise DataError(f"{where}: has no ID or no list of gtboxes.")
    return line


def _object(item: Any, where: str) -> ObjectRecord:
    box = item.get("fbox") if isinstance(item, dict) else None
    if not isinstance(box, list) or len(box) != 4 or not all(map(is_coordinate, box)):
        raise DataError(f"{where}: the fbox {box!r:.60} is not x, y, width, height.")
    x, y, width, height = box
    extra = item.get("extra")
    is_ignored = isinstance(extra, dict) and extra.get("ignore") == 1
    reason = ""
    if item.get("tag") != CLASS:
        reason = f"tag {item.get('tag')} (no person, or a crowd of them)"
    elif is_ignored:
        reason = "ignore"
    return ObjectRecord(CLASS, (x, y, width, height), ignored=reason)


FORMAT = Format(
    name="CrowdHuman",
    layout="`annotation_{split}.odgt`, and `Images/` or another folder with the images; boxes of "
    "the full body (`fbox`)",
    flags="those marked `ignore` and tags other than `person` are ignored; occluded persons count",
    given="`DIR` or `FILE.odgt`",
    find=partial(find_files, suffix=".odgt", is_ours=_is_ours, read=_read),
)
