"""Ranges of allowed values, as part of the annotations of configuration fields.

``channels: PositiveInt`` is an ``int`` to type checkers; :func:`check_ranges` rejects 0 wherever
the configuration is constructed. Numbers are finite.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from typing import Annotated, Any, TypeVar, Union

from detzoo.errors import ConfigError

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Range:
    """Annotation: a number from ``min`` to ``max``.

    ``above`` and ``below`` exclude ``min`` and ``max`` themselves.
    """

    min: float = -math.inf
    max: float = math.inf
    above: bool = False
    below: bool = False

    def fault(self, value: Any) -> str | None:
        """Describes what is wrong with ``value``, to continue the sentence "VALUE ..."; None:
        nothing. Non-numbers are left to the type check.
        """
        if not is_number(value):
            return None
        if not (value > self.min if self.above else value >= self.min):
            return f"is not {self._least}"
        if not (value < self.max if self.below else value <= self.max):
            return f"is not {self._most}"
        return None

    @property
    def _least(self) -> str:
        return f"{'greater than' if self.above else 'at least'} {self.min:.10g}"

    @property
    def _most(self) -> str:
        return f"{'less than' if self.below else 'at most'} {self.max:.10g}"

    def __str__(self) -> str:
        sides = [] if self.min == -math.inf else [self._least]
        sides += [] if self.max == math.inf else [self._most]
        return " and ".join(sides)


@dataclasses.dataclass(frozen=True)
class Length:
    """Annotation: the minimum number of elements of a tuple."""

    min: int

    def fault(self, value: Any) -> str | None:
        """Describes what is wrong with ``value``, to continue the sentence "VALUE ..."; None:
        nothing.
        """
        if not isinstance(value, tuple) or len(value) >= self.min:
            return None
        return f"does not have {self}"

    def __str__(self) -> str:
        return f"at least {self.min} element{'s' if self.min > 1 else ''}"


@dataclasses.dataclass(frozen=True)
class Ascending:
    """Annotation: the elements of a tuple are in ascending order."""

    def fault(self, value: Any) -> str | None:
        """Describes what is wrong with ``value``, to continue the sentence "VALUE ..."; None:
        nothing.
        """
        if not isinstance(value, tuple) or not all(map(is_number, value)):
            return None
        return None if list(value) == sorted(value) else f"is not {self}"

    def __str__(self) -> str:
        return "in ascending order"


PositiveInt = Annotated[int, Range(1)]
NonNegativeInt = Annotated[int, Range(0)]
PositiveFloat = Annotated[float, Range(0, above=True)]
NonNegativeFloat = Annotated[float, Range(0)]
# Thresholds, fractions, probabilities.
UnitFloat = Annotated[float, Range(0, 1)]
PositiveUnitFloat = Annotated[float, Range(0, 1, above=True)]
# A score threshold: with 1, everything would be dropped.
ScoreThreshold = Annotated[float, Range(0, 1, below=True)]
# Layer sizes. The bound is far above any practical size, and below what exhausts the memory.
Channels = Annotated[int, Range(1, 65536)]
NonEmpty = Annotated[tuple[T, ...], Length(1)]
# The interval that random numbers are drawn from: ``Interval[PositiveFloat]``.
Interval = Annotated[tuple[T, T], Ascending()]


def without_range(annotation: Any) -> Any:
    """Strips ranges from an annotation: ``PositiveInt`` becomes ``int``."""
    is_annotated = typing.get_origin(annotation) is Annotated
    return typing.get_args(annotation)[0] if is_annotated else annotation


@functools.cache
def hints_of(cls: Any) -> dict[str, Any]:
    """The annotations of all fields, with their ranges."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


@functools.cache
def _hints_with_ranges(cls: Any) -> dict[str, Any]:
    """The annotations of the fields with ranges to check."""
    return {name: hint for name, hint in hints_of(cls).items() if _has_ranges(hint)}


def _has_ranges(annotation: Any) -> bool:
    if annotation is float or typing.get_origin(annotation) is Annotated:
        return True
    return any(map(_has_ranges, typing.get_args(annotation)))


def check_ranges(value: Any) -> None:
    """Raises :class:`ConfigError` if a field of a config is outside its annotation's range."""
    cls: Any = type(value)
    for name, annotation in _hints_with_ranges(cls).items():
        _check_range(getattr(value, name), annotation, name)


def _check_range(value: Any, annotation: Any, path: str) -> None:
    """Raises ConfigError if ``value`` or an element of it is outside its annotation's range."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        _check_range(value, args[0], path)
        for bound in args[1:]:
            if isinstance(bound, (Range, Length, Ascending)) and (fault := bound.fault(value)):
                raise ConfigError(f"{path}: {value!r} {fault}")
    elif origin in (Union, types.UnionType):
        _check_range_of_union(value, args, path)
    elif origin is tuple and isinstance(value, tuple):
        items = (args[0],) * len(value) if args[1:] == (Ellipsis,) else args
        for i, (item, inner) in enumerate(zip(value, items)):
            _check_range(item, inner, f"{path}[{i}]")
    elif annotation is float and is_number(value) and not math.isfinite(value):
        raise ConfigError(f"{path}: {value!r} is not a finite number")


def _check_range_of_union(value: Any, options: tuple[Any, ...], path: str) -> None:
    """Checks that at least one option with the type of ``value`` allows it."""
    error = None
    for option in options:
        base = without_range(option)
        is_tuple = typing.get_origin(base) is tuple
        if isinstance(value, tuple) if is_tuple else is_number(value) and base in (int, float):
            try:
                return _check_range(value, option, path)
            except ConfigError as failed:
                error = error or failed
    if error is not None:
        raise error


def is_number(value: Any) -> bool:
    """Whether ``value`` is an integer or a float, but not a bool."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)
