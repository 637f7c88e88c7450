"""Callbacks by the names that a command line has for them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable

from detzoo.checkpoints.catalog import import_modules
from detzoo.errors import ConfigError
from detzoo.train.callbacks.base import Callback

LOGGERS = {
    "wandb": "detzoo.train.callbacks.wandb:WandbLogger",
    "mlflow": "detzoo.train.callbacks.mlflow:MLflowLogger",
}


def make_loggers(names: Iterable[str]) -> list[Callback]:
    """The loggers of these names, each once.

    Raises :class:`ConfigError` for an unknown one, and for one that is not installed.
    """
    loggers: list[Callback] = []
    for name in dict.fromkeys(names):
        if name not in LOGGERS:
            raise ConfigError(f"--logger {name}: is not one of {', '.join(LOGGERS)}")
        module, _, cls = LOGGERS[name].partition(":")
        loggers.append(getattr(importlib.import_module(module), cls)())
    return loggers


def make_callback(name: str) -> Callback:
    """An instance of the class ``package.module:Class``, called without arguments.

    The module is imported, from the current folder too. Raises :class:`ConfigError` where the name
    is not that of such a class.
    """
    module, _, path = name.partition(":")
    if not (module and path.isidentifier()):
        raise ConfigError(f"--callback {name}: write it as package.module:Class")
    try:
        import_modules([module])
    except ConfigError as error:
        raise ConfigError(f"--callback {name}: {error}") from None
    cls = getattr(sys.modules[module], path, None)
    if not (isinstance(cls, type) and issubclass(cls, Callback)):
        raise ConfigError(
            f"--callback {name}: {module} has no class {path} that subclasses "
            "detzoo.train.callbacks.Callback"
        )
    try:
        return cls()
    except TypeError as error:
        raise ConfigError(
            f"--callback {name}: cannot be made without arguments ({error}). Give them "
            "defaults, or name a subclass that sets them."
        ) from None
