"""Reads DOTA (https://captain-whu.github.io/DOTA): a text file of oriented boxes per image.

A line is the x and y of four corners, a class and whether it is difficult; the first lines may
give the source of the image and its resolution. Oriented boxes are taken as the upright boxes
around them.
"""

from __future__ import annotations

from pathlib import Path

from detzoo.data.formats.base import Format, ObjectRecord, Source
from detzoo.data.formats.shapes import extent
from detzoo.data.formats.sniff import beginning
from detzoo.data.formats.text_labels import find_labels, numbers
from detzoo.errors import DataError

_FACTS = ("imagesource:", "gsd:")
_NOTE = "oriented boxes are taken as the upright boxes around them"


def _is_ours(file: Path) -> bool:
    lines = [line for line in beginning(file, 4096).splitlines() if not line.startswith(_FACTS)]
    words = lines[0].split() if lines else []
    return len(words) == 10 and words[-1] in ("0", "1", "2") and not words[8].isdecimal()


def _object(line: str, where: str) -> ObjectRecord | str:
    if line.startswith(_FACTS):
        return ""
    words = line.split()
    if len(words) not in (9, 10):
        raise DataError(f"{where}: holds {len(words)} columns instead of 10.")
    is_difficult = len(words) == 10 and words[9] != "0"
    box = extent(numbers(words[:8], where))
    return ObjectRecord(words[8], box, ignored="difficult" if is_difficult else "")


def _find(path: Path) -> dict[str, Source]:
    folders = ("labelTxt", "labelTxt-v1.0", "labelTxt-v1.5", "labelTxt-v2.0")
    return find_labels(path, folders, ("images",), _is_ours, _object, notes=[_NOTE])


FORMAT = Format(
    name="DOTA",
    layout="`{split}/labelTxt/*.txt` and `{split}/images/`",
    flags=f"difficult objects are ignored; {_NOTE}",
    find=_find,
)
