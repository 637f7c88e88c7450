"""Which adapter reads which V2 type. Adapters say so themselves, where they are defined."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

# From a Node, and what the caller knows, to our configuration.
Adapter = Callable[..., Any]
A = TypeVar("A", bound=Adapter)

# By kind of part ("backbone", "box_loss") and V2 type; filled by ``adapts``.
ADAPTERS: Final[dict[str, dict[str, Adapter]]] = {}
# What takes the place of a part that only training looks at, where it cannot be read: by kind, from
# the settings of the part; filled by ``stands_in``.
STAND_INS: Final[dict[str, Callable[[Mapping[str, Any]], Any]]] = {}


def adapts(kind: str, *types: str) -> Callable[[A], A]:
    """Registers a function as the adapter of V2's ``types``, which are parts of this ``kind``.

    Raises :class:`ValueError` for a type that has an adapter already.
    """

    def register(adapter: A) -> A:
        known = ADAPTERS.setdefault(kind, {})
        for name in types:
            if name in known:
                raise ValueError(
                    f"{kind} {name!r} has two adapters: {_place(known[name])} and {_place(adapter)}"
                )
        known.update(dict.fromkeys(types, adapter))
        return adapter

    return register


def stands_in(kind: str) -> Callable[[A], A]:
    """Registers a function that makes the stand-in of a ``kind``."""

    def register(stand_in: A) -> A:
        STAND_INS[kind] = stand_in
        return stand_in

    return register


def _place(adapter: Adapter) -> str:
    return f"{adapter.__module__}.{adapter.__qualname__}"
