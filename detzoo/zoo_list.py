"""The names in the zoo without importing it: ``models.json``, which ``docs/generate.py`` writes."""

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
    """What is listed of each entry, by name."""
    return {row["name"]: row for row in json.loads(FILE.read_text(encoding="utf-8"))}


def unknown_name(name: str, known: Iterable[str]) -> UserError:
    """Tells the nearest of the ``known`` names."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    hint = f"the nearest names are {', '.join(near)}" if near else "no name is near it"
    return UserError(f"no model is called {name!r}: {hint}. `detzoo models` lists them all.")
