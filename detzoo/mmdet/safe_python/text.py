"""Formatting of text, whose results can be much larger than what they are made of."""

from __future__ import annotations

import re
import string
from typing import Any

from detzoo.mmdet.safe_python.budget import Budget, TooMuchError

# A conversion of ``%``: its key, flags, width, precision and letter.
_CONVERSION = re.compile(r"%(?:\((?P<key>[^()]*)\))?(?P<size>[-+ #0]*[\d*]*(?:\.[\d*]*)?)[a-zA-Z%]")


def formatted(value: Any, spec: str, budget: Budget) -> str:
    """``value`` as text, of the width and in the form that ``spec`` says."""
    budget.weigh(value)
    _require_narrow(spec)
    text = format(value, spec)
    budget.spend(len(text))
    return text


def percent(template: str, values: Any, budget: Budget) -> str:
    """``template % values``."""
    budget.weigh(template)
    budget.weigh(values)
    position = template.find("%")
    while position >= 0:
        found = _CONVERSION.match(template, position)
        if found is None:
            raise ValueError(f"unsupported format at {template[position : position + 20]!r}")
        _require_narrow(found["size"])
        if found["key"] is not None and isinstance(values, dict):
            budget.weigh(values[found["key"]])  # which may be named many times
        position = template.find("%", found.end())
    text: str = template % values
    return text


class Formatter(string.Formatter):
    """``str.format`` for plain values: no attributes, no elements, no huge widths."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> Any:
        if not re.fullmatch(r"\w+", field_name):
            raise ValueError(f"{{{field_name}}} looks into a value")
        return super().get_field(field_name, args, kwargs)

    def format_field(self, value: Any, format_spec: str) -> str:
        return formatted(value, format_spec, self.budget)


def _require_narrow(spec: str) -> None:
    if "*" in spec or re.search(r"\d{4}", spec):
        raise TooMuchError("too wide a text")
