"""Reading MMDetection 2.x configuration files into plain dictionaries.

A V2 configuration is a Python file that is executed, here as there: read only files that you
trust. (The configuration text inside a checkpoint is never executed; see ``checkpoint.py``.)
"""

from __future__ import annotations

import copy
import re
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detzoo.errors import ConfigError
from detzoo.files import check_regular

_BASE_VARIABLE = re.compile(r"\{\{\s*_base_\.([\w.]+)\s*\}\}")
_BASE_MARK = "detzoo base variable "  # stands in the text for a value of a base file


def read_config(path: str | Path) -> dict[str, Any]:
    """The variables of a V2 configuration file, merged over those of its ``_base_`` files.

    Executes Python: the file and its bases. Understands ``_delete_``, changes of list elements by
    their number, ``{{ fileBasename }}`` and its like, and ``{{ _base_.name }}``. Raises
    :class:`ConfigError` naming the file, and the line where there is one.
    """
    return _read(_resolved(Path(path), None), ())


def _resolved(path: Path, reader: Path | None) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # links that go round, a null byte
        raise ConfigError(f"{path}: is no path of a file{_asked(reader)} ({error})") from None


def _asked(reader: Path | None) -> str:
    return f" (a _base_ of {reader})" if reader is not None else ""


def _read(path: Path, readers: tuple[Path, ...]) -> dict[str, Any]:
    if path in readers:
        chain = " -> ".join(reader.name for reader in (*readers, path))
        raise ConfigError(f"{path}: is its own base ({chain}). Remove one of these _base_ lines.")
    own = _execute(path, readers)
    bases = own.pop("_base_", [])
    names = [bases] if isinstance(bases, str) else bases
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{path}: _base_: {bases!r:.60} is no file name, nor a list of them")
    base: dict[str, Any] = {}
    for name in names:
        inherited = _read(_resolved(path.parent / name, path), (*readers, path))
        twice = sorted(base.keys() & inherited.keys())
        if twice:
            raise ConfigError(f"{path}: two of its _base_ files define {', '.join(twice)}.")
        base |= inherited
    return merge_settings(base, _fill_in(own, base, path), str(path))


def _execute(path: Path, readers: tuple[Path, ...]) -> dict[str, Any]:
    asked = _asked(readers[-1] if readers else None)
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
    text = _BASE_VARIABLE.sub(lambda match: repr(_BASE_MARK + match.group(1)), text)
    names: dict[str, Any] = {"__file__": str(path)}
    try:
        exec(compile(text, str(path), "exec"), names)
    except SyntaxError as error:
        raise ConfigError(f"{path}: line {error.lineno}: {error.msg}") from None
    # A configuration is a program of the user's: whatever it raises is the user's to mend.
    except (Exception, SystemExit) as error:
        line = _line_in(path, error)
        raise ConfigError(f"{path}: line {line}: {type(error).__name__}: {error}") from None
    settings = {name: value for name, value in names.items() if _is_setting(name, value)}
    require_shallow(settings, str(path))
    return settings


def _is_setting(name: str, value: Any) -> bool:
    code = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, type)
    return not name.startswith("__") and not isinstance(value, code)


def _line_in(path: Path, error: BaseException) -> int | None:
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


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
