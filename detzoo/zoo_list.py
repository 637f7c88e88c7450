"""Reads the names in the zoo without importing it, from the generated ``models.json``."""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from detzoo.errors import UserError

Row = dict[str, Any]
FILE = Path(__file__).parent / "zoo" / "models.json"


@functools.cache
def zoo_rows() -> dict[str, Row]:
    """The listed facts of each entry, by name."""
    return {row["name"]: row for row in json.loads(FILE.read_text(encoding="utf-8"))}


def unknown_name(name: str, known: Iterable[str]) -> UserError:
    """Returns an error that suggests the closest of the ``known`` names."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    hint = f"the closest names are {', '.join(near)}" if near else "no name is similar"
    return UserError(f"no model is called {name!r}: {hint}. `detzoo models` lists them all.")
