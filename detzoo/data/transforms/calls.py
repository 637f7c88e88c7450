"""Parses transforms of other libraries, written as in Python code, without executing them."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from detzoo.config import ConfigError

# Returns the library's class of this name, None if there is none.
Lookup = Callable[[str], Callable[..., Any] | None]


def parse_call(call: str, field: str) -> ast.Call:
    """Parses a ``call`` such as "ColorJitter(hue=0.1)", the value of ``field``.

    Raises :class:`ConfigError`.
    """
    try:
        expression = ast.parse(call, mode="eval").body
    except SyntaxError:
        expression = None
    if not isinstance(expression, ast.Call):
        raise ConfigError(f"{field}: {call!r} is not written like ColorJitter(hue=0.1)")
    return expression


def construct(node: ast.Call, lookup: Lookup, library: str, field: str) -> Any:
    """Constructs the object of a call ``node``, whose arguments are literals or further calls.

    Raises :class:`ConfigError` naming ``field``, and the ``library`` that lacks a name.
    """

    def evaluate(part: ast.expr) -> Any:
        if isinstance(part, (ast.List, ast.Tuple)):
            items = [evaluate(item) for item in part.elts]
            return items if isinstance(part, ast.List) else tuple(items)
        if isinstance(part, ast.Call):
            return construct(part, lookup, library, field)
        try:
            return ast.literal_eval(part)
        except ValueError:
            text = ast.unparse(part)
            raise ConfigError(
                f"{field}: {text!r} is neither a plain value nor a transform"
            ) from None

    name = ast.unparse(node.func)
    found = lookup(name)
    if found is None:
        raise ConfigError(f"{field}: {library} has no transform {name!r}")
    arguments = [evaluate(item) for item in node.args]
    named = {item.arg: evaluate(item.value) for item in node.keywords if item.arg is not None}
    try:
        return found(*arguments, **named)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{field}: {ast.unparse(node)}: {error}") from None
