"""Executing a V2 configuration file that the user trusts, as MMDetection does.

Such files import from ``mmcv`` and ``mmdet``, which need not be installed: stand-ins take their
places, enough of them for a file that registers classes of its own, or looks at another
configuration.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from detzoo.errors import ConfigError

_PACKAGES = ("mmcv", "mmdet", "mmcls", "mmseg", "mmengine")


Read = Callable[[str], dict[str, Any]]


def execute(text: str, path: Path, read: Read) -> dict[str, Any]:
    """The settings among the variables of the program ``text``, which is that of ``path``.

    ``read`` reads other configurations for it: ``mmcv.Config.fromfile``. Raises
    :class:`ConfigError`, naming the line, for whatever the program raises.
    """
    names: dict[str, Any] = {"__file__": str(path), "__name__": path.stem}
    try:
        with _importing_beside(path.parent, read):
            exec(compile(text, str(path), "exec"), names)
    except SyntaxError as error:
        raise ConfigError(f"{path}: line {error.lineno}: {error.msg}") from None
    # A configuration is a program of the user's: whatever it raises is the user's to mend.
    except (Exception, SystemExit) as error:
        line = _line_in(path, error)
        raise ConfigError(f"{path}: line {line}: {type(error).__name__}: {error}") from None
    return {name: value for name, value in names.items() if _is_setting(name, value)}


def _is_setting(name: str, value: Any) -> bool:
    code = (
        types.ModuleType,
        types.FunctionType,
        types.BuiltinFunctionType,
        type,
        _StandIn,
        _Configs,
    )
    return not name.startswith("__") and not isinstance(value, code)


def _line_in(path: Path, error: BaseException) -> int | None:
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


@contextmanager
def _importing_beside(folder: Path, read: Read) -> Iterator[None]:
    """Within it, files beside the configuration can be imported, and what is not installed."""
    before, finder = set(sys.modules), _Finder(read)
    sys.path.insert(0, str(folder))
    sys.meta_path.append(finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            origin = getattr(sys.modules[name], "__file__", None)
            stands_in = isinstance(sys.modules[name], _StandInModule)
            # Another configuration may have files of the same names beside it.
            if stands_in or (origin is not None and Path(origin).parent == folder):
                del sys.modules[name]


class _Finder(MetaPathFinder, Loader):
    """Finds stand-ins for OpenMMLab's packages, after all that is installed."""

    def __init__(self, read: Read) -> None:
        self.read = read

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if fullname.split(".")[0] not in _PACKAGES:
            return None
        return importlib.util.spec_from_loader(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        return _StandInModule(spec.name, self.read)

    def exec_module(self, module: types.ModuleType) -> None:
        pass


class _StandInModule(types.ModuleType):
    def __init__(self, name: str, read: Read) -> None:
        super().__init__(name)
        self.Config = _Configs(read)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _StandIn()


class _StandIn:
    """A registry, a decorator, a class or a function: whatever is asked of it is one again.

    As a decorator it returns what it decorates.
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _StandIn()

    def __call__(self, *given: Any, **named: Any) -> Any:
        decorates = len(given) == 1 and not named and isinstance(given[0], type)
        return given[0] if decorates else _StandIn()

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        return ()  # as a base class


class _Settings(dict[str, Any]):
    """Settings that are also attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value


class _Configs:
    """``mmcv.Config``."""

    def __init__(self, read: Read) -> None:
        self.read = read

    def __call__(self, cfg_dict: Any = None, **other: Any) -> Any:
        return _with_attributes(cfg_dict or {})

    def fromfile(self, filename: str, **other: Any) -> Any:
        return _with_attributes(self.read(filename))


def _with_attributes(value: Any) -> Any:
    if isinstance(value, dict):
        return _Settings({key: _with_attributes(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return type(value)(_with_attributes(item) for item in value)
    return value
