"""What loggers of other projects share; each is an extra that is installed on request."""

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
    """The ``module`` of an extra of the same name, imported.

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
    """Turns an ``error`` of another project's logger into one of a user."""
    try:
        yield
    except error as refusal:
        raise UserError(
            f"--logger {module}: {refusal}. Correct that, or leave the logger out; --resume "
            "continues from the last checkpoint."
        ) from refusal


def scalars(record: Record) -> dict[str, float]:
    """The finite measurements of a record, named as loggers show them: ``train/loss``."""
    return {
        f"{record['kind']}/{name}": value
        for name, value in record.items()
        if isinstance(value, float) and math.isfinite(value)
    }
