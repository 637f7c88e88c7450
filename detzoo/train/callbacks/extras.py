"""Helpers of the loggers that require optional packages, each an extra of the same name."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import math
from collections.abc import Iterator
from typing import Any

from detzoo.errors import ConfigError, UserError
from detzoo.train.callbacks.base import Record


def require(module: str) -> Any:
    """Imports and returns the ``module`` of the extra of the same name.

    Raises :class:`ConfigError` with the command that installs it.
    """
    if importlib.util.find_spec(module) is None:
        raise ConfigError(
            f"--logger {module}: {module} is not installed. Install it: "
            f"pip install 'detzoo[{module}]'"
        )
    return importlib.import_module(module)


@contextlib.contextmanager
def refusals_of(module: str, error: type[Exception]) -> Iterator[None]:
    """Converts an ``error`` of a third-party logger to a UserError."""
    try:
        yield
    except error as refusal:
        raise UserError(
            f"--logger {module}: {str(refusal).rstrip('.')}. Fix this, or go on without it: "
            "--resume continues from the last checkpoint, and --logger none drops the loggers."
        ) from refusal


def scalars(record: Record) -> dict[str, float]:
    """The finite values of a record, under the names used by loggers, such as ``train/loss``."""
    return {
        f"{record['kind']}/{name}": value
        for name, value in record.items()
        if isinstance(value, float) and math.isfinite(value)
    }
