"""Callbacks by their names on the command line."""

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
    """Creates the loggers with these names, without duplicates; none for "none".

    Raises :class:`ConfigError` for a logger that is unknown or not installed.
    """
    loggers: list[Callback] = []
    for name in dict.fromkeys(names):
        if name == "none":
            continue
        if name not in LOGGERS:
            raise ConfigError(f"--logger {name}: is not one of {', '.join(LOGGERS)}, none")
        module, _, cls = LOGGERS[name].partition(":")
        loggers.append(getattr(importlib.import_module(module), cls)())
    return loggers


def make_callback(name: str) -> Callback:
    """Creates an instance of the class ``package.module:Class``, without arguments.

    The module is imported, also from the current folder. Raises :class:`ConfigError` if there is no
    such class.
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
            f"--callback {name}: cannot be created without arguments ({error}). Give them "
            "defaults, or give a subclass that sets them."
        ) from None
