"""The model zoo: all named configurations, by family.

A family is a file in this folder that defines ``FAMILY``; there is no other list. It is imported
when one of its names is requested. (``models.json``, written by ``docs/generate.py``, maps names to
families.)
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Mapping
from pathlib import Path

from detzoo.zoo.entry import Entry, Family
from detzoo.zoo_list import unknown_name, zoo_rows

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
    """Whether ``models.json`` lists an entry called ``name``; imports no family."""
    return _module_of(name) is not None


def find(name: str) -> Entry:
    """The entry called ``name``. Raises :class:`UserError` with similar names otherwise."""
    module = _module_of(name)
    known = families() if module is None else (_import(module),)
    for family in known:
        for entry in family.entries:
            if entry.name == name:
                return entry
    raise unknown_name(name, [entry.name for entry in entries()])


def family_of(entry: Entry) -> Family:
    """The family that ``entry`` belongs to."""
    module = _module_of(entry.name)
    if module is not None and entry in _import(module).entries:
        return _import(module)
    return next(family for family in families() if entry in family.entries)


def _module_of(name: str) -> str | None:
    """The module of the family with an entry of this name, according to ``models.json``."""
    row = zoo_rows().get(name)
    return None if row is None else _modules().get(row["family"])


def _import(module: str) -> Family:
    family: Family = importlib.import_module(f"detzoo.zoo.{module}").FAMILY
    return family


@functools.cache
def _modules() -> Mapping[str, str]:
    """The modules in this folder that define a family, by its folder in MMDetection's zoo."""
    found = {}
    for path in sorted(_FOLDER.glob("*.py")):
        for folder in _DEFINITION.findall(path.read_text(encoding="utf-8")):
            found[folder] = path.stem
    return found
