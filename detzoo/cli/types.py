"""``detzoo config --types``: what can be written in a slot of a configuration."""

from __future__ import annotations

import importlib
import inspect

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from detzoo.checkpoints.catalog import own_modules
from detzoo.cli.explain import concrete_classes, summary
from detzoo.config import is_config
from detzoo.errors import ConfigError


def print_types(console: Console, wanted: str) -> None:
    """Prints the types of a kind ("losses"), or those that a slot of type ``wanted`` accepts.

    Raises :class:`ConfigError` for anything else.
    """
    modules = own_modules()
    kinds: dict[str, list[str]] = {}
    for name, module in modules.items():
        kinds.setdefault(_kind(module), []).append(name)
    if wanted in kinds:
        names = kinds[wanted]
    elif wanted in modules:
        names = concrete_classes(_load(wanted))
    else:
        raise ConfigError(
            f"--types {wanted}: is neither a kind nor a type. Kinds are "
            f"{', '.join(sorted(kinds))}; detzoo config NAME --explain PATH shows the type of a "
            "setting."
        )
    table = Table.grid(padding=(0, 2))
    for name in sorted(names):
        cls = _load(name)
        if not inspect.isabstract(cls):
            table.add_row(f"[bold]{name}[/]", f"[dim]{_slot(cls)}[/]", escape(summary(cls)))
    console.print(table)
    console.print(
        '\nTo choose one: [bold]--set \'PATH={"type": "NAME", "FIELD": VALUE}\'[/]. '
        "detzoo config NAME --explain PATH shows the fields.",
        soft_wrap=True,
    )


def _kind(module: str) -> str:
    """ "losses" of detzoo.losses.boxes, "transforms" of detzoo.data.transforms.flip."""
    parts = module.split(".")
    return "transforms" if "transforms" in parts[:-1] else parts[1]


def _load(name: str) -> type:
    found: type = getattr(importlib.import_module(own_modules()[name]), name)
    return found


def _slot(cls: type) -> str:
    """The abstract type that slots for it have."""
    bases = [one for one in cls.__mro__[1:] if is_config(one) and inspect.isabstract(one)]
    return bases[0].__name__ if bases else ""
