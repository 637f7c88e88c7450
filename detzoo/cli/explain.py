"""Explains a setting: its documentation, type, default, current value and allowed values."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Union

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from detzoo.checkpoints.catalog import own_modules
from detzoo.config import find, is_config, spelled, type_name

# Maximum elements of a tuple that is shown in full.
MAX_ELEMENTS = 12


def explain(console: Console, experiment: Any, path: str) -> None:
    """Prints what the setting at ``path`` does and, if it is a config, its fields.

    An empty path means the whole experiment. Raises :class:`ConfigError` for an unknown path.
    """
    value = experiment
    if path:
        setting = find(experiment, path)
        value = setting.value
        console.print(f"[bold]{escape(path)}[/] = {escape(brief(value))}", soft_wrap=True)
        text = field_docs(setting.owner).get(setting.field.name)
        if text:
            console.print(f"  {escape(text)}", soft_wrap=True)
        facts = {
            # The type adds nothing to a list of choices.
            "type": "" if is_literal(setting.annotation) else spelled(setting.annotation),
            "choices": ", ".join(choices(setting.annotation)),
            "range": ", ".join(dict.fromkeys(map(str, ranges(setting.annotation)))),
            # An element has no default of its own.
            "default": "" if path.endswith("]") else default(setting.field),
        }
        _print_table(console, [(f"[dim]{name}[/]", escape(fact)) for name, fact in facts.items()])
        console.print()
    if is_config(type(value)):
        _explain_class(console, value)
    elif holds_configs(value):
        rows = [(f"[bold]{escape(f'[{i}]')}[/]", brief(item)) for i, item in enumerate(value)]
        _print_table(console, [(*row, escape(summary(type(v)))) for row, v in zip(rows, value)])


def _explain_class(console: Console, value: Any) -> None:
    """The class of a part, and one line per field."""
    cls = type(value)
    console.print(f"[bold]{type_name(cls)}[/]: {escape(summary(cls))}", soft_wrap=True)
    docs = field_docs(cls)
    rows = []
    for field in dataclasses.fields(value):
        text = escape(docs.get(field.name, ""))
        rows.append((f"[bold]{field.name}[/]", escape(brief(getattr(value, field.name))), text))
    _print_table(console, rows)


def _print_table(console: Console, rows: Sequence[tuple[str, ...]]) -> None:
    """Prints rows, leaving out those whose last cell is empty if nothing else is in them."""
    table = Table.grid(padding=(0, 2))
    for row in rows:
        if len(row) > 2 or row[-1]:
            table.add_row("", *row)
    console.print(table)


# ----------------------------------------------------------------------------------- from classes


def summary(cls: type) -> str:
    """The first paragraph of a class's docstring, on one line."""
    text = inspect.cleandoc(cls.__dict__.get("__doc__") or "")
    # dataclasses generate a signature for classes without a docstring.
    return "" if text.startswith(f"{cls.__name__}(") else _plain(text.split("\n\n")[0])


def field_docs(cls: type) -> dict[str, str]:
    """The ``Args:`` descriptions of a class's fields; its own override those of its parents."""
    found: dict[str, str] = {}
    for parent in reversed(cls.__mro__):
        found |= _arguments(inspect.cleandoc(parent.__dict__.get("__doc__") or ""))
    return {name: _plain(text) for name, text in found.items()}


def _plain(text: str) -> str:
    """A docstring on one line, without Sphinx markup."""
    return " ".join(re.sub(r":\w+:`~?([\w.]+)`", r"`\1`", text).replace("``", "`").split())


def _arguments(text: str) -> dict[str, str]:
    """The ``Args:`` section of a docstring by name; continuation lines are indented."""
    found: dict[str, str] = {}
    name = ""
    _, _, section = f"\n{text}\n".partition("\nArgs:\n")
    for line in section.splitlines():
        if line and not line.startswith(" "):
            break
        start = re.match(r" {4}(\w+): (.*)", line)
        if start:
            name, found[start[1]] = start[1], start[2]
        elif line.strip() and name:
            found[name] += f" {line.strip()}"
    return found


def default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return brief(field.default)
    return "none; required"


def ranges(annotation: Any) -> Iterator[Any]:
    """Yields the numeric ranges in an annotation and those nested in it."""
    if typing.get_origin(annotation) is Annotated:
        yield from annotation.__metadata__
    for inner in typing.get_args(annotation):
        yield from ranges(inner)


def choices(annotation: Any) -> list[str]:
    """The words, numbers or classes that a setting accepts, if they can be listed."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if is_literal(annotation):
        return [repr(choice) for choice in args]
    if origin in (Union, types.UnionType, tuple, Annotated):
        return list(dict.fromkeys(name for inner in args for name in choices(inner)))
    return concrete_classes(annotation) if is_config(annotation) else []


def is_literal(annotation: Any) -> bool:
    return typing.get_origin(annotation) is Literal


def concrete_classes(cls: type) -> list[str]:
    """The names of the concrete classes among ``cls`` and its subclasses, in detzoo and imported
    modules.
    """
    for module in set(own_modules().values()):
        importlib.import_module(module)
    found, waiting = [], [cls]
    while waiting:
        one = waiting.pop()
        waiting += one.__subclasses__()
        if not inspect.isabstract(one):
            found.append(type_name(one))
    return sorted(set(found))


# ------------------------------------------------------------------------------------- of values


def holds_configs(value: Any) -> bool:
    """Whether ``value`` is a tuple of configs."""
    return isinstance(value, tuple) and any(is_config(type(item)) for item in value)


def brief(value: Any) -> str:
    """Formats a value on one line: configs by class name, long tuples by their first element."""
    if is_config(type(value)):
        return type_name(type(value))
    if holds_configs(value):
        return f"({', '.join(map(brief, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, tuple) and len(value) > MAX_ELEMENTS:
        first = ", ".join(map(brief, value[:3]))
        return f"({first}, ... {len(value)} in all)"
    return repr(value)
