"""Reads the 2D boxes of KITTI's object detection (https://www.cvlibs.net/datasets/kitti).

A line of ``label_2/000000.txt`` is type, truncated, occluded, alpha, left, top, right, bottom,
three dimensions, three coordinates and a rotation (readme.txt of the development kit).
"""

from __future__ import annotations

from pathlib import Path

from detzoo.data.formats.base import Format, ObjectRecord, Source
from detzoo.data.formats.sniff import beginning
from detzoo.data.formats.text_labels import find_labels, numbers
from detzoo.errors import DataError

_REGION = "DontCare"


def _is_ours(file: Path) -> bool:
    words = beginning(file, 4096).split("\n", 1)[0].split()
    return len(words) in (15, 16) and words[0][:1].isalpha()


def _object(line: str, where: str) -> ObjectRecord:
    words = line.split()
    if len(words) not in (15, 16):
        raise DataError(f"{where}: holds {len(words)} columns instead of 15.")
    x1, y1, x2, y2 = numbers(words[4:8], where)
    box = (x1, y1, x2 - x1, y2 - y1)
    if words[0] == _REGION:
        return ObjectRecord(None, box, ignored=_REGION)
    return ObjectRecord(words[0], box)


def _find(path: Path) -> dict[str, Source]:
    return find_labels(path, ("label_2", "label_02"), ("image_2", "image_02"), _is_ours, _object)


FORMAT = Format(
    name="KITTI",
    layout="`training/label_2/*.txt` and `training/image_2/`",
    flags="`DontCare` regions are ignored for every class; truncated and occluded objects count; "
    "every other type is a class",
    find=_find,
)
