"""Reads files that hold a JSON object per line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from detzoo.data.formats.sniff import read_text
from detzoo.data.reading import entry
from detzoo.errors import DataError


def json_lines(file: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """The objects of a file, each with where it is. Raises :class:`DataError`."""
    for k, line in enumerate(read_text(file).splitlines(), 1):
        if not line.strip():
            continue
        with entry():
            where = f"{file}: line {k}"
            yield _object(line, where), where


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        raise DataError(f"{where}: is not valid JSON.") from None
    if not isinstance(content, dict):
        raise DataError(f"{where}: is a JSON {type(content).__name__} instead of an object.")
    return content
