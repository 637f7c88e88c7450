"""Reads single values of annotation and result files: numbers, ids, flags, sizes, boxes.

Tools write the same value in different ways. A number may be text ("12.5") or, where an integer is
expected, a whole float (12.0). An id is a name, any integer or text, so 7, 7.0 and "7" are the
same. The functions ``read_...`` take an entry (a JSON object) and raise :class:`DataError`,
starting with ``where``, for missing or invalid values.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from detzoo.errors import DataError

Json = Any  # any content of a file: nothing about it is trusted
Id = int | str
Size = tuple[int, int]  # (height, width)
Box = tuple[float, float, float, float]  # x, y, width, height

# OpenCV does not read wider or higher images.
MOST_PIXELS = 2**20
# Coordinates beyond this are invalid, although boxes may extend far outside the image.
FARTHEST = 2**31
# float() accepts more than this: "nan", "1_000", digits of other scripts.
_NUMBER = re.compile(r"\s*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\s*", re.ASCII)


def as_number(value: Json) -> float | None:
    """Converts ``value``, a number or its text, to a finite float; otherwise None."""
    if type(value) is float:  # the common case
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
    """Converts all ``values``, numbers or their text, to finite floats; otherwise None."""
    if {float}.issuperset(map(type, values)) and math.isfinite(sum(values)):  # the common case
        return list(values)
    numbers = [number for number in map(as_number, values) if number is not None]
    return numbers if len(numbers) == len(values) else None


def as_integer(value: Json) -> int | None:
    """Converts ``value``, an integer, whole float or its text, to an integer; otherwise None."""
    if type(value) is int:
        return value
    number = as_number(value)
    return int(number) if number is not None and number.is_integer() else None


def as_id(value: Json) -> Id | None:
    """Converts ``value`` to an id, an integer or text; otherwise None."""
    return value if isinstance(value, str) else as_integer(value)


def same(identity: Id) -> str:
    """A dictionary key that is equal for equal ids."""
    return str(identity)


def read_field(entry: Json, key: str, where: str) -> Json:
    if not isinstance(entry, dict):
        raise DataError(f"{where}: is {entry!r:.60} instead of a JSON object.")
    if key not in entry:
        raise DataError(f"{where}: has no {key!r}.")
    return entry[key]


def read_id(entry: Json, key: str, where: str) -> Id:
    value = read_field(entry, key, where)
    if type(value) is int:  # the common case
        return value
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
    """Reads a flag, which is false if absent or null."""
    value = entry.get(key)
    if value is None or value is False:
        return False
    number = 1 if value is True else as_integer(value)
    if number not in (0, 1):
        raise DataError(f"{where}: its {key} {value!r:.60} is neither 0 nor 1.")
    return number == 1


def read_size(entry: dict[str, Json], where: str) -> Size | None:
    """Reads the height and width of an image; None if they are absent, null or 0."""
    values = entry.get("height"), entry.get("width")
    height, width = (0 if value is None else as_integer(value) for value in values)
    if height is None or width is None or min(height, width) < 0:
        problem = "are not positive integers"
    elif max(height, width) > MOST_PIXELS:
        problem = f"are too large for an image (at most {MOST_PIXELS})"
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


def check_class_names(names: Sequence[str], where: str) -> None:
    """Raises :class:`DataError` for no, blank or repeated names; messages begin with ``where``."""
    if not names:
        raise DataError(f"{where}: there is no class at all.")
    seen = set()
    for name in names:
        if not name.strip():
            raise DataError(f"{where}: a class has an empty name. Give it one.")
        if name in seen:
            raise DataError(f"{where}: two classes are called {name!r}. Rename or merge them.")
        seen.add(name)
