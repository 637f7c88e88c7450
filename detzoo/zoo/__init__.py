"""The model zoo: every named configuration, by family.

A family is a file of this folder that defines ``FAMILY``; there is no other list. It is imported
when one of its names is asked for. (``models.json``, which ``docs/generate.py`` writes, tells the
family of a name.)
"""

from __future__ import annotations

import difflib
import functools
import importlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from detzoo.errors import UserError
from detzoo.zoo.entry import Entry, Family

_FOLDER = Path(__file__).parent
_DEFINITION = re.compile(r'^FAMILY = Family\(\s*folder="([^"]+)"', re.MULTILINE)


@functools.cache
def families() -> tuple[Family, ...]:
    """All families, by title."""
    found = [_import(module) for module in _modules().values()]
    return tuple(sorted(found, key=lambda family: family.title.lower()))


def entries() -> tuple[Entry, ...]:
    """All entries, family by family."""
    return tuple(entry for family in families() for entry in family.entries)


def has(name: str) -> bool:
    """Whether the zoo's page lists an entry called ``name``; imports no family."""
    return name in _listed()


def find(name: str) -> Entry:
    """The entry called ``name``. Raises :class:`UserError` with the nearest names otherwise."""
    module = _modules().get(_listed().get(name, ""))
    known = families() if module is None else (_import(module),)
    for family in known:
        for entry in family.entries:
            if entry.name == name:
                return entry
    near = difflib.get_close_matches(name, [e.name for e in entries()], n=3, cutoff=0.5)
    hint = f"the nearest names are {', '.join(near)}" if near else "no name is near it"
    raise UserError(f"no model is called {name!r}: {hint}. `detzoo models` lists them all.")


def family_of(entry: Entry) -> Family:
    """The family that ``entry`` belongs to."""
    module = _modules().get(_listed().get(entry.name, ""))
    if module is not None and entry in _import(module).entries:
        return _import(module)
    return next(family for family in families() if entry in family.entries)


def _import(module: str) -> Family:
    family: Family = importlib.import_module(f"detzoo.zoo.{module}").FAMILY
    return family


@functools.cache
def _modules() -> Mapping[str, str]:
    """The modules of this folder that define a family, by its folder in MMDetection's zoo."""
    found = {}
    for path in sorted(_FOLDER.glob("*.py")):
        for folder in _DEFINITION.findall(path.read_text(encoding="utf-8")):
            found[folder] = path.stem
    return found


@functools.cache
def _listed() -> Mapping[str, str]:
    """The family of each name when ``models.json`` was written."""
    rows = json.loads((_FOLDER / "models.json").read_text(encoding="utf-8"))
    return {row["name"]: row["family"] for row in rows}
