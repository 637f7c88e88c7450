"""Which adapter reads which V2 type. Adapters say so themselves, where they are defined."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

# From a Node, and what the caller knows, to our configuration.
Adapter = Callable[..., Any]
A = TypeVar("A", bound=Adapter)

# By kind of part ("backbone", "box_loss") and V2 type; filled by ``adapts``.
ADAPTERS: Final[dict[str, dict[str, Adapter]]] = {}


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


def _place(adapter: Adapter) -> str:
    return f"{adapter.__module__}.{adapter.__qualname__}"
