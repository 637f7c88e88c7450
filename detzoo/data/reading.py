"""How data sets are read: whether EXIF turns images, and what happens where an entry is malformed.

Readers need not be told: they read entries within :func:`entry` or by :func:`read_each`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, TypeVar

from detzoo.errors import DataError

T = TypeVar("T")
FaultKind = Literal["annotation-unreadable", "image-missing", "image-unreadable"]


@dataclass(frozen=True)
class Fault:
    """What an entry of a data set was left out for: ``text`` names the file and the entry."""

    kind: FaultKind
    text: str


@dataclass(frozen=True)
class _Manner:
    ignore_exif: bool = False
    faults: list[Fault] | None = None


_USUAL = _Manner()
_MANNER: ContextVar[_Manner] = ContextVar("manner", default=_USUAL)


@contextmanager
def ignoring_exif(ignore: bool = True) -> Iterator[None]:
    """Sizes that data sets opened within do not declare are those of images as they are stored."""
    token = _MANNER.set(_Manner(ignore, _MANNER.get().faults))
    try:
        yield
    finally:
        _MANNER.reset(token)


@contextmanager
def reading_on(on: bool = True) -> Iterator[list[Fault]]:
    """Data sets opened within leave out what cannot be read; the list tells what, afterwards.

    Without ``on``, they are read as usual.
    """
    faults: list[Fault] = []
    token = _MANNER.set(_Manner(_MANNER.get().ignore_exif, faults if on else None))
    try:
        yield faults
    finally:
        _MANNER.reset(token)


def ignores_exif() -> bool:
    return _MANNER.get().ignore_exif


def reads_on() -> bool:
    return _MANNER.get().faults is not None


class _Entry:
    """A context manager of its own, since one of contextlib would cost a second for COCO."""

    def __init__(self, kind: FaultKind) -> None:
        self._kind: FaultKind = kind

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if not isinstance(error, DataError):
            return False
        faults = _MANNER.get().faults
        if faults is not None:
            faults.append(Fault(self._kind, str(error)))
        return faults is not None


def entry(kind: FaultKind = "annotation-unreadable") -> _Entry:
    """Around the reading of one entry: a :class:`DataError` leaves it out where reading goes on."""
    return _Entry(kind)


def read_each(read: Callable[..., T], *entries: Iterable[Any]) -> list[T]:
    """``list(map(read, *entries))``; where reading goes on, without those that cannot be read."""
    found = []
    one = entry()
    for arguments in zip(*entries):
        with one:
            found.append(read(*arguments))
    return found
