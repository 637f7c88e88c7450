"""Signatures and docstrings for the Python reference, in place of ``<!-- api: name -->``."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

from docs.generators.docstrings import markdown

MARK = re.compile(r"^<!-- api: ([\w.]+) -->$", re.MULTILINE)


def fill(text: str) -> str:
    """``text`` with the documentation of every name that it marks."""
    return MARK.sub(lambda found: document(found[1]), text)


def document(name: str) -> str:
    """What ``name`` (``detzoo.load``) is: its signature and docstring, and its public methods."""
    module, _, attribute = name.rpartition(".")
    value = getattr(importlib.import_module(module), attribute)
    lines = [_one(attribute, value)]
    if inspect.isclass(value) and not issubclass(value, BaseException):
        lines += [_one(f"{attribute}.{own}", method) for own, method in _methods(value)]
    return "\n\n".join(lines)


def _one(name: str, value: Any) -> str:
    if isinstance(value, property):
        shown = name
    elif callable(value):
        shown = f"{name}{_signature(value)}"
    else:
        return ""
    text = inspect.getdoc(value) or ""
    if text.startswith(f"{name}("):  # what dataclasses write
        text = ""
    text = _sections(markdown(text))
    return f"```text\n{shown}\n```\n\n{text}"


def _signature(value: Any) -> str:
    try:
        signature = inspect.signature(value)
    except ValueError:  # exceptions have none
        return ""
    parameters = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    signature = signature.replace(parameters=parameters)
    text = re.sub(r"(?<![\w'])(?:\w+\.)+(?=[A-Z])", "", str(signature)).replace("'", "")
    if len(text) < 80:
        return text
    inner = "".join(f"    {_parameter(p)},\n" for p in parameters)
    returned = text.rpartition(" -> ")[2] if " -> " in text else ""
    return f"(\n{inner})" + (f" -> {returned}" if returned else "")


def _parameter(parameter: inspect.Parameter) -> str:
    text = re.sub(r"(?<![\w'])(?:\w+\.)+(?=[A-Z])", "", str(parameter)).replace("'", "")
    return text


def _sections(text: str) -> str:
    """``Args:`` and the like as a list."""
    text = re.sub(r"^(Args|Returns|Raises|Yields):$", r"\n*\1*\n", text, flags=re.MULTILINE)
    return re.sub(r"^ {4}(\w+): ", r"- `\1`: ", text, flags=re.MULTILINE)


def _methods(cls: type) -> Iterator[tuple[str, Any]]:
    """Its own public methods and properties that have a docstring, as they are defined."""
    for name, value in vars(cls).items():
        if name.startswith("_"):
            continue
        function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        is_documented = callable(function) or isinstance(function, property)
        if is_documented and inspect.getdoc(function) and not isinstance(function, type):
            yield name, function
