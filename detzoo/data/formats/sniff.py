"""Tells what a file is by its beginning."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from detzoo.errors import DataError
from detzoo.files import check_regular

# Keys that matter come early, but COCO's follow licenses and a description.
_BEGINNING = 1 << 16
_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"|[{}\[\]:,]')


@dataclass
class Outline:
    """The beginning of a JSON file: the ``kind`` of its value, the ``keys`` of the outer object,
    and those of the objects in it (``inner``), as far as they are seen."""

    kind: Literal["object", "list", "other"]
    keys: set[str] = field(default_factory=set)
    inner: set[str] = field(default_factory=set)


def json_outline(file: Path) -> Outline:
    """The outline of a JSON file by its first 64 kB; of several lines of JSON that of the first."""
    text = beginning(file)
    kinds: dict[str, Literal["object", "list"]] = {"{": "object", "[": "list"}
    outline = Outline(kinds.get(text.lstrip()[:1], "other"))
    if outline.kind == "other":
        return outline
    open_brackets: list[str] = []
    name = ""
    for token in _TOKEN.finditer(text):
        if token[0] in "{[":
            open_brackets.append(token[0])
        elif token[0] in "}]":
            open_brackets.pop()
            if not open_brackets:
                break
        elif token[0] == ":":
            depth = open_brackets.count("{")
            if depth == 1 and open_brackets[0] == "{":
                outline.keys.add(name)
            elif depth == (2 if open_brackets[0] == "{" else 1):
                outline.inner.add(name)
        else:
            name = token[1] or ""
    return outline


def beginning(file: Path, size: int = _BEGINNING) -> str:
    """The first ``size`` bytes of a file as text; "" where it cannot be read."""
    check_regular(file)
    try:
        with open(file, "rb") as stream:
            data = stream.read(size)
    except OSError:
        return ""
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    return data.decode(encoding, "replace")


def files_of(folder: Path, *suffixes: str) -> list[Path]:
    """The files in ``folder`` with one of ``suffixes`` (lower case), by name; hidden ones aside."""
    if not folder.is_dir():
        return []
    return sorted(
        Path(entry.path)
        for entry in os.scandir(folder)
        if entry.name.lower().endswith(suffixes)
        and not entry.name.startswith(".")
        and entry.is_file()
    )


def csv_rows(file: Path) -> Iterator[list[str]]:
    """The rows of a table, a few in memory at a time. Raises :class:`DataError`."""
    try:
        with open(file, encoding="utf-8-sig", newline="") as lines:
            yield from csv.reader(lines)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file}: cannot be read as CSV in UTF-8 ({error}).") from None


def first_row(file: Path) -> list[str]:
    """The first row of a table; empty where it is none."""
    try:
        return next(csv.reader(io.StringIO(beginning(file, 1 << 13), newline="")), [])
    except csv.Error:
        return []


def read_text(file: Path) -> str:
    """The text of a file in UTF-8 or, with its mark, UTF-16. Raises :class:`DataError`."""
    check_regular(file)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}).") from None
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file}: is not UTF-8 text (byte {error.start}). Save it as UTF-8."
        ) from None
