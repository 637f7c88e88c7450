"""What loggers of other projects share; each is an extra that is installed on request."""

from __future__ import annotations

import importlib
import importlib.util
import math
from typing import Any

from detzoo.errors import ConfigError
from detzoo.train.callbacks.base import Record


def require(module: str) -> Any:
    """The ``module`` of an extra of the same name, imported.

    Raises :class:`ConfigError` with the command that installs it.
    """
    if importlib.util.find_spec(module) is None:
        raise ConfigError(
            f"--logger {module}: {module} is not installed. Install it: "
            f"pip install 'detzoo[{module}]'"
        )
    return importlib.import_module(module)


def scalars(record: Record) -> dict[str, float]:
    """The finite measurements of a record, named as loggers show them: ``train/loss``."""
    return {
        f"{record['kind']}/{name}": value
        for name, value in record.items()
        if isinstance(value, float) and math.isfinite(value)
    }
