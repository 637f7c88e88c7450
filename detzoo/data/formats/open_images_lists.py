"""The files of Open Images' challenge as MMDetection 2.x distributes them.

A list such as ``challenge-2019-train-detection-bbox.txt`` has for each image its name, a line that
nothing reads, the number of its objects, and a line for each: the number of the class, left, top,
right, bottom as parts of the image, and whether it is a group. ``cls-label-description.csv``
numbers the classes, from 1, and ``class_label_tree.np`` is a matrix: in the row of a class, the
columns of those above it are set, and its own. The first row and column are no class's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from detzoo.data.annotations import LabelLists
from detzoo.data.formats.base import ObjectRecord
from detzoo.data.formats.sniff import beginning, csv_rows, read_text
from detzoo.data.reading import read_each
from detzoo.errors import DataError
from detzoo.files import check_regular
from detzoo.weights.pickles import load_pickle

_IMAGES = (".jpg", ".jpeg", ".png")
_BEFORE_OBJECTS = 3  # lines of each image


def is_list(file: Path) -> bool:
    lines = beginning(file, 1 << 12).splitlines()[: _BEFORE_OBJECTS + 1]
    words = lines[-1].split() if len(lines) > _BEFORE_OBJECTS else []
    return (
        len(lines) > _BEFORE_OBJECTS
        and lines[0].strip().lower().endswith(_IMAGES)
        and lines[2].strip().isdecimal()
        and (lines[2].strip() == "0" or (len(words) == 6 and words[0].isdecimal()))
    )


def read_list(
    file: Path, class_names: dict[int, str]
) -> Iterator[tuple[str, list[ObjectRecord], str]]:
    """The name of each image, its objects, and where it is in the list."""
    lines = read_text(file).rstrip().splitlines()
    k = 0
    while k < len(lines):
        where = f"{file}: line {k + 1}"
        name = lines[k].strip()
        count = lines[k + 2].strip() if k + 2 < len(lines) else ""
        if not name or not count.isdecimal():
            raise DataError(
                f"{where}: is not the name of an image two lines before the number of its objects."
            )
        start = k + _BEFORE_OBJECTS
        k = start + int(count)
        if len(lines) < k:
            held = len(lines) - start
            raise DataError(f"{where}: has {held} of {count} objects. Is the file cut off?")

        def read(number: int) -> ObjectRecord:
            return _object(lines[number], class_names, f"{file}: line {number + 1}")

        yield name, read_each(read, range(start, k)), where


def _object(line: str, class_names: dict[int, str], where: str) -> ObjectRecord:
    try:
        number, *corners, group = line.split()
        x1, y1, x2, y2 = map(float, corners)
        name = class_names.get(int(number))
    except ValueError:
        raise DataError(
            f"{where}: {line!r:.60} is not the number of a class, the four of a box and whether it "
            "is a group."
        ) from None
    if name is None:
        raise DataError(f"{where}: class {number} is not among the {len(class_names)} numbered.")
    return ObjectRecord(name, (x1, y1, x2 - x1, y2 - y1), is_crowd=group == "1")


def read_numbers(file: Path) -> dict[int, tuple[str, str]]:
    """The machine id and the name of each class by its number, in their order."""
    rows = [row for row in csv_rows(file) if row]
    if not all(len(row) == 3 and row[2].strip().isdecimal() for row in rows):
        raise DataError(f"{file}: its rows must be a class's machine id, its name and its number.")
    return {int(row[2]): (row[0], row[1]) for row in sorted(rows, key=lambda row: int(row[2]))}


def read_tree(file: Path, num_classes: int) -> LabelLists:
    """The classes above each one."""
    tree = _array(file)
    side = num_classes + 1
    is_matrix = isinstance(tree, np.ndarray) and tree.shape == (side, side)
    if not is_matrix or tree.dtype.kind not in "biuf":
        raise DataError(
            f"{file}: is no hierarchy of the {num_classes} classes: a matrix of numbers with "
            f"{side} rows and columns, the first of which are no class's."
        )
    above = [np.flatnonzero(row).tolist() for row in tree[1:, 1:]]
    return LabelLists.of([[a for a in row if a != own] for own, row in enumerate(above)])


def _array(file: Path) -> Any:
    """What NumPy saved, or a pickle of it, which is read as data."""
    check_regular(file)
    try:
        with open(file, "rb") as stream:
            is_saved = stream.read(6) == b"\x93NUMPY"
        return np.load(file, allow_pickle=False) if is_saved else load_pickle(file)
    except Exception as error:  # a damaged pickle can raise anything
        raise DataError(
            f"{file}: cannot be read without executing what is in it ({error}). Put the "
            "challenge's own file beside it in its place, challenge-2019-label500-hierarchy.json."
        ) from None
