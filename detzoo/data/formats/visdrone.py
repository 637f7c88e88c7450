"""Reads VisDrone-DET (https://github.com/VisDrone/VisDrone-Dataset): a text file per image.

A line is left, top, width, height, score, category, truncation, occlusion
(https://github.com/VisDrone/VisDrone2018-DET-toolkit).
"""

from __future__ import annotations

from pathlib import Path

from detzoo.data.formats.base import Format, ObjectRecord, Source
from detzoo.data.formats.sniff import beginning
from detzoo.data.formats.text_labels import find_labels, numbers
from detzoo.errors import DataError

# Categories 1 to 10; 0 are ignored regions, and 11 are other vehicles, which are not evaluated.
CLASSES = (
    *("pedestrian", "people", "bicycle", "car", "van", "truck", "tricycle", "awning-tricycle"),
    *("bus", "motor"),
)
_OTHERS = 11


def _is_ours(file: Path) -> bool:
    words = beginning(file, 4096).split("\n", 1)[0].strip().rstrip(",").split(",")
    return len(words) == 8 and all(word.strip().lstrip("-").isdecimal() for word in words)


def _object(line: str, where: str) -> ObjectRecord | str:
    words = line.strip().rstrip(",").split(",")
    if len(words) != 8:
        raise DataError(f"{where}: holds {len(words)} numbers instead of 8.")
    x, y, width, height, score, category = numbers(words[:6], where)
    if category not in range(_OTHERS + 1):
        raise DataError(f"{where}: the category {category:g} is not one of 0 to {_OTHERS}.")
    if category == _OTHERS:
        return "other vehicles (category 11)"
    box = (x, y, width, height)
    if category == 0:
        return ObjectRecord(None, box, ignored="ignored region")
    return ObjectRecord(CLASSES[int(category) - 1], box, ignored="" if score else "score 0")


def _find(path: Path) -> dict[str, Source]:
    return find_labels(path, ("annotations",), ("images",), _is_ours, _object, class_names=CLASSES)


FORMAT = Format(
    name="VisDrone",
    layout="`annotations/*.txt` and `images/`, in `VisDrone2019-DET-{split}/`",
    flags="ignored regions (category 0) and objects of score 0 are ignored, other vehicles (11) "
    "are left out; truncated and occluded objects count",
    find=_find,
)
