"""What one reading may cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MAX_VALUES = 1_000_000  # more than fifty times what the largest configuration holds
_MAX_BITS = 64  # of an integer


class TooMuchError(Exception):
    """The budget is spent, or one value would be too large."""


class Budget:
    """How many values one reading may still make: names can double them line by line."""

    def __init__(self) -> None:
        self.left = _MAX_VALUES

    def spend(self, count: int = 1) -> None:
        """Raises :class:`TooMuchError` where nothing is left."""
        self.left -= count
        if self.left < 0:
            raise TooMuchError("too many values")

    def weigh(self, value: Any) -> int:
        """Spends and returns the size of ``value``, all that it holds included."""
        size = len(value) if isinstance(value, str) else 1
        self.spend(size)
        if isinstance(value, Mapping):
            return size + sum(self.weigh(key) + self.weigh(item) for key, item in value.items())
        if isinstance(value, list | tuple):
            return size + sum(self.weigh(item) for item in value)
        return size


def require_small(bits: float) -> None:
    """Raises :class:`TooMuchError` for an integer with so many ``bits``."""
    if bits > _MAX_BITS:
        raise TooMuchError("too large a number")
