"""Catalog of the config classes that saved files may refer to; files build no other classes.

detzoo's own classes have short names, which do not change when a class moves to another module.
Third-party classes are ``package.module:Class``, and are found if the module has already been
imported: by the program itself, by ``import_modules``, or by ``--import package.module`` on the
command line. An installed package can publish modules as entry points of the group
``detzoo.configs``, which are imported when a file refers to them. Opening a file imports nothing
else.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import detzoo
from detzoo.config import ConfigError, UnknownTypeError, is_config, type_name

ENTRY_POINTS = "detzoo.configs"
_DEFINITION = re.compile(r"^@config\n(?:@\S+\n)*class (\w+)", re.MULTILINE)


def config_classes() -> Mapping[str, type]:
    """The config classes that files can build, by their names in files."""
    return _CATALOG


def import_modules(names: Iterable[str]) -> None:
    """Imports modules whose config classes files may refer to, also from the current folder.

    Raises :class:`ConfigError` for a module that does not exist.
    """
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise  # a dependency of the module is missing
            raise ConfigError(
                f"--import {name}: there is no such module, either installed or in {here}."
            ) from None


def require_importable(value: Any) -> None:
    """Raises :class:`ConfigError` if ``value`` has a class that no other program can import."""
    for cls in _classes_in(value):
        name = type_name(cls)
        module, _, path = name.rpartition(":")
        if module == "__main__" or "<locals>" in path:
            raise ConfigError(
                f"{cls.__qualname__}: is defined in {'a function' if '<' in path else 'a script'}, "
                "where no other program can import it, so a checkpoint with it could not be "
                "opened. Move it to a module of its own."
            )


@functools.cache
def own_modules() -> Mapping[str, str]:
    """The modules of detzoo's own config classes by class name, found without importing them."""
    package = Path(detzoo.__file__).parent
    found: dict[str, str] = {}
    for path in sorted(package.rglob("*.py")):
        for name in _DEFINITION.findall(path.read_text(encoding="utf-8")):
            parts = path.relative_to(package).with_suffix("").parts
            if name in found:
                raise ConfigError(f"two config classes are called {name!r}")
            found[name] = ".".join(("detzoo", *parts))
    return found


class _Catalog(Mapping[str, type]):
    """Imports classes on access."""

    def __getitem__(self, name: str) -> type:
        cls = _foreign(name) if ":" in name else _own(name)
        if inspect.isabstract(cls):
            raise KeyError(name)
        return cls

    def __iter__(self) -> Iterator[str]:
        return iter(own_modules())

    def __len__(self) -> int:
        return len(own_modules())


_CATALOG = _Catalog()


def _own(name: str) -> type:
    found: type = getattr(importlib.import_module(own_modules()[name]), name)
    return found


def _foreign(name: str) -> type:
    module, _, path = name.rpartition(":")
    if module not in sys.modules:
        if module not in _published():
            advice = (
                f". It belongs to another package: add --import {module}, or in Python "
                f"detzoo.import_modules([{module!r}])"
            )
            raise UnknownTypeError(name, advice)
        importlib.import_module(module)
    found: Any = sys.modules[module]
    for part in path.split("."):
        found = getattr(found, part, None)
    # Only where it is defined, not where it is imported.
    if not (is_config(found) and type_name(found) == name):
        raise UnknownTypeError(name, f": {module} has no such config class")
    return found


@functools.cache
def _published() -> frozenset[str]:
    """The modules that installed packages publish as entry points."""
    return frozenset(point.value for point in entry_points(group=ENTRY_POINTS))


def _classes_in(value: Any) -> Iterator[type]:
    if is_config(type(value)):
        yield type(value)
        for item in vars(value).values():
            yield from _classes_in(item)
    elif isinstance(value, tuple):
        for item in value:
            yield from _classes_in(item)
