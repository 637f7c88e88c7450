"""The text of a V2 configuration inside a checkpoint, read as data.

MMDetection saved either the merged configuration, printed as assignments, or (in its first
versions) the files themselves one after another, each below a line with its path. Both are
evaluated here without executing anything: plain values, ``dict(...)``, ``range(...)``, sums of
numbers, text or lists, and names of earlier assignments. Everything else is refused.
"""

from __future__ import annotations

import ast
import operator
import re
from typing import Any

from detzoo.errors import ConfigError
from detzoo.mmdet.read_config import merge_settings, require_shallow

_PATH_LINE = re.compile(r"^[^\s'\"#=(),\[\]{}]+\.py[ \t]*$", re.MULTILINE)
# More than a hundred times what the largest configuration of the zoo holds.
_MAX_VALUES = 2_000_000
_MAX_BITS = 64  # of an integer

_OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}


def parse_config(text: str, source: str) -> dict[str, Any]:
    """The configuration that ``text`` writes.

    Raises :class:`ConfigError`, naming ``source`` and the line, for what is not plain values.
    """
    starts = [0, *(match.end() for match in _PATH_LINE.finditer(text))]
    ends = [*(match.start() for match in _PATH_LINE.finditer(text)), len(text)]
    config: dict[str, Any] = {}
    reader = _Reader(source)
    for start, end in zip(starts, ends):
        own = reader.read(text[start:end], text.count("\n", 0, start))
        require_shallow(own, source)
        # Bases come before the files that change them.
        config = merge_settings(config, own, source)
    config.pop("_base_", None)
    return config


class _Reader:
    """Evaluates files, one after another, and counts what they write: names can double it."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.line = 0
        self.names: dict[str, Any] = {}
        self.count = 0

    def read(self, text: str, line: int) -> dict[str, Any]:
        """The variables of one file, before which come ``line`` lines of others."""
        self.line, self.names = line, {}
        try:
            statements = ast.parse(text).body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            line = self.line + (getattr(error, "lineno", None) or 1)
            raise ConfigError(
                f"{self.source}: the configuration inside cannot be read: line {line}: {error}"
            ) from None
        for statement in statements:
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    try:
                        self.names[name] = self.value(value)
                    except ConfigError:
                        raise
                    except (TypeError, ValueError, ArithmeticError, RecursionError) as error:
                        self.refuse(statement, f"{name}: {error}")
                case ast.Expr(value=ast.Constant()):
                    pass  # a comment in the form of text
                case _:
                    self.refuse(statement, _shown(statement))
        return self.names

    def value(self, node: ast.expr) -> Any:
        """What an expression writes."""
        self.count += 1
        if self.count > _MAX_VALUES:
            self.refuse(node, "too many values")
        value = self.evaluate(node)
        if isinstance(value, int) and value.bit_length() > _MAX_BITS:
            self.refuse(node, "too large a number")
        return value

    def evaluate(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=value) if not isinstance(value, bytes | complex):
                return value
            case ast.List(elts=items):
                return [self.value(item) for item in items]
            case ast.Tuple(elts=items):
                return tuple(self.value(item) for item in items)
            case ast.Dict(keys=keys, values=values):
                return self.mapping(keys, values)
            case ast.Call(func=ast.Name(id="dict"), args=positional, keywords=keywords):
                named: dict[str, Any] = {}
                for item in positional:
                    named.update(self.mapping([None], [item]))
                for keyword in keywords:
                    if keyword.arg is None:
                        named.update(self.mapping([None], [keyword.value]))
                    else:
                        named[keyword.arg] = self.value(keyword.value)
                return named
            case ast.Call(func=ast.Name(id="range"), args=limits, keywords=[]) if limits:
                numbers = range(*(self.value(limit) for limit in limits))
                self.count += len(numbers)
                return list(numbers) if self.count < _MAX_VALUES else self.refuse(node, "a range")
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self.value(operand)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                return self.combine(node, op, self.value(left), self.value(right))
            case ast.Name(id=name) if name in self.names:
                return self.copy(self.names[name])
            case ast.Name(id="inf" | "nan" as name):
                return float(name)
            case _:
                return self.refuse(node, _shown(node))

    def mapping(self, keys: list[ast.expr | None], values: list[ast.expr]) -> dict[Any, Any]:
        """A dict of pairs; a key of None unpacks the value."""
        found: dict[Any, Any] = {}
        for key, value in zip(keys, values):
            item = self.value(value)
            if key is not None:
                found[self.value(key)] = item
            elif isinstance(item, dict):
                found.update(item)
            else:
                self.refuse(value, f"{_shown(value)} is no dict")
        return found

    def combine(self, node: ast.expr, op: ast.operator, left: Any, right: Any) -> Any:
        numbers = [isinstance(value, int | float) for value in (left, right)]
        joins = isinstance(op, ast.Add) and type(left) is type(right) in (str, list, tuple)
        repeats = isinstance(op, ast.Mult) and isinstance(left, list | tuple) and numbers[1]
        if joins:
            self.count += len(right)
        elif repeats:
            if len(left) * right > 10_000:
                self.refuse(node, "too long a list")
            return type(left)(self.copy(item) for _ in range(right) for item in left)
        elif not all(numbers):
            self.refuse(node, _shown(node))
        return _OPERATORS[type(op)](left, right)

    def copy(self, value: Any) -> Any:
        """``value`` anew: what is named twice is not shared, and counts twice."""
        self.count += 1
        if self.count > _MAX_VALUES:
            self.refuse(None, "too many values")
        if isinstance(value, dict):
            return {key: self.copy(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self.copy(item) for item in value)
        return value

    def refuse(self, node: ast.AST | None, what: str) -> Any:
        line = self.line + getattr(node, "lineno", 1)
        raise ConfigError(
            f"{self.source}: the configuration inside is not plain values: line {line}: {what}. "
            "It is read without being executed. Give the model's name or its config file instead, "
            "and this file as --weights."
        )


def _shown(node: ast.AST) -> str:
    """The beginning of what ``node`` was read from."""
    try:
        return repr(ast.unparse(node).splitlines()[0][:60])
    except RecursionError:
        return "something nested deeply"
