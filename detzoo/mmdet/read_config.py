"""Reading MMDetection 2.x configuration files into plain dictionaries.

A V2 configuration is a Python file. It is read without executing anything (``safe_python``);
what that cannot read is executed only where the user says that the file is trusted.
"""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detzoo.errors import ConfigError
from detzoo.files import check_regular
from detzoo.mmdet.safe_python import Budget, SafePython

_BASE_VARIABLE = re.compile(r"\{\{\s*_base_\.([\w.]+)\s*\}\}")
_BASE_MARK = "detzoo base variable "  # stands in the text for a value of a base file
# How many folders up from a file the modules are looked for that it imports.
_FOLDERS_UP = 6
_REMEDY = "If you trust the file, have it executed: --trust, or trust=True."


def read_config(path: str | Path, *, trust: bool = False) -> dict[str, Any]:
    """The variables of a V2 configuration file, merged over those of its ``_base_`` files.

    Understands ``_delete_``, changes of list elements by their number, ``{{ fileBasename }}`` and
    its like, ``{{ _base_.name }}``, and ``from sibling import *``. Nothing is executed, unless
    ``trust`` is set: then the file and its bases run as programs, as in MMDetection. Raises
    :class:`ConfigError` naming the file, and the line where there is one.
    """
    return Files(trust).read_all(path)


def _resolved(path: Path, reader: Path | None) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # links that go round, a null byte
        raise ConfigError(f"{path}: is no path of a file{_asked(reader)} ({error})") from None


def _asked(reader: Path | None) -> str:
    return f" (a _base_ of {reader})" if reader is not None else ""


@dataclass(frozen=True)
class SourceFile:
    """One of the files of a configuration: its name without the suffix, and what it itself says."""

    stem: str
    settings: Mapping[str, Any]


class Files:
    """The files of one configuration: read one inside the other, from one budget.

    ``read_files`` are those that have been read: the file, then its bases.
    """

    def __init__(self, trust: bool) -> None:
        self.trust = trust
        self.budget = Budget()
        self.read_files: list[SourceFile] = []

    def read_all(self, path: str | Path) -> dict[str, Any]:
        """See :func:`read_config`."""
        return self.read(_resolved(Path(path), None), ())

    def read(self, path: Path, readers: tuple[Path, ...]) -> dict[str, Any]:
        """The settings of ``path``, a base of the last of the ``readers``."""
        own = self.variables(path, readers)
        self.read_files.append(SourceFile(path.stem, own))
        bases = own.pop("_base_", [])
        names = [bases] if isinstance(bases, str) else bases
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            raise ConfigError(f"{path}: _base_: {bases!r:.60} is no file name, nor a list of them")
        base: dict[str, Any] = {}
        for name in names:
            inherited = self.read(_resolved(path.parent / name, path), (*readers, path))
            twice = sorted(base.keys() & inherited.keys())
            if twice:
                raise ConfigError(f"{path}: two of its _base_ files define {', '.join(twice)}.")
            base |= inherited
        return merge_settings(base, _fill_in(own, base, path), str(path))

    def variables(self, path: Path, readers: tuple[Path, ...]) -> dict[str, Any]:
        """What the file itself assigns."""
        if path in readers:
            chain = " -> ".join(reader.name for reader in (*readers, path))
            raise ConfigError(f"{path}: is its own base ({chain}). Remove one of these lines.")
        text = _text(path, readers[-1] if readers else None)
        if self.trust:
            from detzoo.mmdet.trusted import execute

            variables = execute(text, path, functools.partial(read_config, trust=True))
            require_shallow(variables, str(path))
            return variables

        def imported(module: str, level: int) -> dict[str, Any] | None:
            file = _module_file(path.parent, module, level)
            return None if file is None else self.variables(file, (*readers, path))

        reader = SafePython(
            str(path),
            _REMEDY,
            self.budget,
            imported,
            base_value=lambda name: f"{_BASE_MARK}{name}",  # as 3.x writes {{ _base_.name }}
        )
        variables = reader.run(text)
        return {name: value for name, value in variables.items() if not name.startswith("__")}


def _module_file(folder: Path, module: str, level: int) -> Path | None:
    """The file that ``from module import`` means in a file of ``folder``: beside it or above."""
    parts = [part for part in module.split(".") if part]
    above = [folder, *folder.parents]
    places = above[:_FOLDERS_UP] if level == 0 else above[level - 1 : level]
    files = (place.joinpath(*parts).with_suffix(".py") for place in places if parts)
    return next((file for file in files if file.is_file()), None)


def _text(path: Path, reader: Path | None) -> str:
    asked = _asked(reader)
    check_regular(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such configuration file{asked}; check the path") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as text{asked} ({error})") from None
    for name, value in (
        ("fileDirname", path.parent.as_posix()),
        ("fileBasename", path.name),
        ("fileBasenameNoExtension", path.stem),
        ("fileExtname", path.suffix),
    ):
        text = value.join(re.split(r"\{\{\s*" + name + r"\s*\}\}", text))
    return _BASE_VARIABLE.sub(lambda match: repr(_BASE_MARK + match.group(1)), text)


def require_shallow(value: Any, source: str, path: str = "", depth: int = 0) -> None:
    """Raises :class:`ConfigError` for settings nested 50 deep: they may hold themselves."""
    if depth > 50:
        raise ConfigError(f"{source}: {path:.60}: settings are nested too deeply")
    if isinstance(value, Mapping):
        for key, item in value.items():
            require_shallow(item, source, f"{path}.{key}" if path else str(key), depth + 1)
    elif isinstance(value, (list, tuple)):
        for item in value:
            require_shallow(item, source, path, depth + 1)


def _fill_in(value: Any, base: Mapping[str, Any], path: Path) -> Any:
    """``value`` with the places that name a variable of the base files filled in."""
    if isinstance(value, str) and value.startswith(_BASE_MARK):
        found: Any = base
        for step in value.removeprefix(_BASE_MARK).split("."):
            if not isinstance(found, Mapping) or step not in found:
                name = value.removeprefix(_BASE_MARK)
                raise ConfigError(f"{path}: _base_.{name}: no base file defines it")
            found = found[step]
        return copy.deepcopy(found)
    if isinstance(value, Mapping):
        return {key: _fill_in(item, base, path) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_fill_in(item, base, path) for item in value)
    return value


def merge_settings(base: Any, change: Mapping[str, Any], source: str, path: str = "") -> Any:
    """``base`` with the settings of ``change`` in their places, dictionary by dictionary."""
    if isinstance(base, (list, tuple)):
        return _merge_elements(base, change, source, path)
    merged = dict(base)
    for key, value in change.items():
        place = f"{path}.{key}" if path else key
        if not isinstance(value, Mapping):
            merged[key] = value
        elif value.get("_delete_", False) or key not in base:
            merged[key] = merge_settings({}, _without_mark(value), source, place)
        elif isinstance(base[key], Mapping) or (
            isinstance(base[key], (list, tuple)) and _names_elements(value)
        ):
            merged[key] = merge_settings(base[key], _without_mark(value), source, place)
        else:
            raise ConfigError(
                f"{source}: {place}: settings by name are to change {base[key]!r}, which has none. "
                "Add _delete_=True to replace it."
            )
    return merged


def _merge_elements(
    base: list[Any] | tuple[Any, ...], change: Mapping[str, Any], source: str, path: str
) -> list[Any]:
    elements = list(base)
    for key, value in change.items():
        place = f"{path}[{key}]"
        if int(key) >= len(elements):
            raise ConfigError(f"{source}: {place}: the list has {len(elements)} elements")
        old = elements[int(key)]
        both = isinstance(value, Mapping) and isinstance(old, Mapping)
        keep = both and not value.get("_delete_", False)
        if isinstance(value, Mapping):
            value = merge_settings(old if keep else {}, _without_mark(value), source, place)
        elements[int(key)] = value
    return elements


def _names_elements(change: Mapping[str, Any]) -> bool:
    return all(re.fullmatch(r"[0-9]{1,9}", str(key)) for key in change)


def _without_mark(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key != "_delete_"}
