"""Reads single values of annotation and result files: numbers, ids, flags, sizes, boxes.

Tools write the same value in different ways. A number may be text ("12.5") or, where an integer
belongs, a whole float (12.0): it is that number. An id is a name, any integer or text, so 7, 7.0
and "7" are the same. The functions ``read_...`` take an entry (a JSON object) and raise
:class:`DataError`, beginning with ``where``, for what is missing or something else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from detzoo.errors import DataError

Json = Any  # whatever a file may hold: nothing about it is trusted
Id = int | str
Size = tuple[int, int]  # (height, width)
Box = tuple[float, float, float, float]  # x, y, width, height

# OpenCV reads no image that is wider or higher.
MOST_PIXELS = 2**20
# A box with larger numbers is in no image, though it may reach far beyond one.
FARTHEST = 2**31
# float() takes more than that: "nan", "1_000", digits of other scripts.
_NUMBER = re.compile(r"\s*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\s*", re.ASCII)


def as_number(value: Json) -> float | None:
    """The finite number that ``value`` is or spells, or None."""
    if type(value) is float:  # most are
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        is_number = _NUMBER.fullmatch(value) is not None
    else:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        number = float(value) if is_number else math.nan
    except OverflowError:  # an integer of hundreds of digits
        return None
    return number if math.isfinite(number) else None


def as_numbers(values: Sequence[Json]) -> list[float] | None:
    """The finite numbers that all ``values`` are or spell, or None."""
    numbers = [number for number in map(as_number, values) if number is not None]
    return numbers if len(numbers) == len(values) else None


def as_integer(value: Json) -> int | None:
    """The integer that ``value`` is or spells, or None."""
    if type(value) is int:
        return value
    number = as_number(value)
    return int(number) if number is not None and number.is_integer() else None


def as_id(value: Json) -> Id | None:
    """The integer or text that ``value`` is as a name, or None."""
    return value if isinstance(value, str) else as_integer(value)


def same(identity: Id) -> str:
    """What ids that are the same have in common: a key for dictionaries."""
    return str(identity)


def read_field(entry: Json, key: str, where: str) -> Json:
    if not isinstance(entry, dict):
        raise DataError(f"{where}: is {entry!r:.60} instead of a JSON object.")
    if key not in entry:
        raise DataError(f"{where}: has no {key!r}.")
    return entry[key]


def read_id(entry: Json, key: str, where: str) -> Id:
    value = read_field(entry, key, where)
    identity = as_id(value)
    if identity is None:
        raise DataError(f"{where}: its {key} {value!r:.60} is neither an integer nor text.")
    return identity


def read_number(entry: Json, key: str, where: str) -> float:
    value = read_field(entry, key, where)
    number = as_number(value)
    if number is None:
        raise DataError(f"{where}: its {key} {value!r:.60} is not a finite number.")
    return number


def read_flag(entry: dict[str, Json], key: str, where: str) -> bool:
    """False where it is absent or null."""
    value = entry.get(key)
    if value is None or value is False:
        return False
    number = 1 if value is True else as_integer(value)
    if number not in (0, 1):
        raise DataError(f"{where}: its {key} {value!r:.60} is neither 0 nor 1.")
    return number == 1


def read_size(entry: dict[str, Json], where: str) -> Size | None:
    """The height and width of an image, None where they are absent, null or 0."""
    values = entry.get("height"), entry.get("width")
    height, width = (0 if value is None else as_integer(value) for value in values)
    if height is None or width is None or min(height, width) < 0:
        problem = "are not positive integers"
    elif max(height, width) > MOST_PIXELS:
        problem = f"are beyond any image (at most {MOST_PIXELS})"
    else:
        return (height, width) if height and width else None
    raise DataError(f"{where}: width {values[1]!r:.60} and height {values[0]!r:.60} {problem}.")


def read_box(entry: Json, key: str, where: str) -> Box:
    value = read_field(entry, key, where)
    numbers = as_numbers(value) if isinstance(value, list | tuple) else None
    if numbers is None or len(numbers) != 4 or max(map(abs, numbers)) >= FARTHEST:
        raise DataError(
            f"{where}: its {key} {value!r:.60} is not a list of four numbers, "
            "x, y, width, height in pixels."
        )
    x, y, width, height = numbers
    return x, y, width, height
