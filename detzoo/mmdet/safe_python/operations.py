"""Operators, functions and methods that configurations may use, each within the budget.

Those that are not here are refused: by :data:`UNKNOWN` in place of a result.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any, Final

from detzoo.mmdet.safe_python.budget import Budget, require_small
from detzoo.mmdet.safe_python.text import Formatter, percent

UNKNOWN: Final = object()

_BINARY: Final[dict[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.BitOr: operator.or_,
}
UNARY: Final[dict[type[ast.unaryop], Callable[[Any], Any]]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}
COMPARE: Final[dict[type[ast.cmpop], Callable[[Any, Any], bool]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, items: item in items,
    ast.NotIn: lambda item, items: item not in items,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}
FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "dict": dict,
    "list": list,
    "tuple": tuple,
    "range": lambda *limits: list(range(*limits)),
    "len": len,
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "min": min,
    "max": max,
    "sum": sum,
    "abs": abs,
    "round": round,
    "sorted": sorted,
    "reversed": lambda items: list(reversed(items)),
    "zip": lambda *rows: list(zip(*rows)),
    "enumerate": lambda *given: list(enumerate(*given)),
    "any": any,
    "all": all,
}
_METHODS: Final[dict[type, frozenset[str]]] = {
    str: frozenset(
        ("capitalize", "count", "endswith", "find", "format", "join", "lower", "lstrip")
        + ("replace", "rsplit", "rstrip", "split", "splitlines", "startswith", "strip")
        + ("title", "upper")
    ),
    list: frozenset(
        ("append", "copy", "count", "extend", "index", "insert", "pop", "remove", "reverse")
    ),
    tuple: frozenset(("count", "index")),
    dict: frozenset(("copy", "get", "items", "keys", "pop", "setdefault", "update", "values")),
}


def combine(op: ast.operator, left: Any, right: Any, budget: Budget) -> Any:
    """``left op right``."""
    if type(op) not in _BINARY:
        return UNKNOWN
    numbers = [isinstance(value, int | float) for value in (left, right)]
    if all(numbers):
        integers = isinstance(left, int) and isinstance(right, int)
        if isinstance(op, ast.Pow) and integers:
            require_small(left.bit_length() * right)
    elif isinstance(op, ast.Mult) and any(numbers):
        number, items = (left, right) if numbers[0] else (right, left)
        budget.spend(max(int(number), 0) * len(items))
    elif isinstance(op, ast.Mod) and isinstance(left, str):
        return percent(left, right, budget)
    elif isinstance(op, ast.Add | ast.BitOr) and type(left) is type(right):
        budget.spend(len(left) + len(right))
    else:
        raise TypeError(f"{type(left).__name__} and {type(right).__name__} do not combine")
    return _BINARY[type(op)](left, right)


def call(name: str, given: list[Any], named: dict[str, Any], budget: Budget) -> Any:
    """One of the ``FUNCTIONS``."""
    if name == "range":
        budget.spend(len(range(*given)))
    elif name != "len":
        budget.weigh([given, named])
    if name == "round" and len(given) > 1:
        given[1] = max(min(given[1], 30), -30)  # digits, of which a number has no more
    if name == "sum" and given and any(not isinstance(v, int | float) for v in given[0]):
        return UNKNOWN  # joins lists in quadratic time
    if named and name not in ("min", "max", "sorted", "dict"):
        return UNKNOWN
    return FUNCTIONS[name](*given, **named)


def has_method(owner: Any, method: str) -> bool:
    """Whether it may be called."""
    return method in _METHODS.get(type(owner), ())


def call_method(
    owner: Any, method: str, given: list[Any], named: dict[str, Any], budget: Budget
) -> Any:
    """One of the methods that ``owner`` has."""
    if method == "extend":
        budget.spend(sum(len(items) for items in given))
    elif method in ("append", "insert", "setdefault", "get", "pop", "update"):
        budget.spend(1 + len(owner) // 1000)  # which insert and pop move
        if method not in ("append", "insert"):
            budget.weigh([given, named])  # as hashing looks at all of a key
    else:
        budget.weigh([owner, given, named])
    if method == "format":
        text = Formatter(budget).vformat(owner, given, named)
        budget.spend(len(text))
        return text
    if method == "join":
        (items,) = given
        budget.spend(len(owner) * len(items))
    if method == "replace":
        budget.spend((owner.count(given[0]) + 1) * len(given[1]))
    result = getattr(owner, method)(*given, **named)
    return list(result) if method in ("items", "keys", "values") else result
