"""A configuration as MMDetection 2.x writes it into checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def dump(config: Mapping[str, Any]) -> str:
    """One assignment for each variable; dicts as calls, or as literals where a key is no name."""
    return "".join(f"{name} = {_text(value)}\n" for name, value in config.items())


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        if all(key.isidentifier() for key in value):
            return f"dict({', '.join(f'{key}={_text(item)}' for key, item in value.items())})"
        return f"dict({{{', '.join(f'{key!r}: {_text(item)}' for key, item in value.items())}}})"
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(_text, value))}{',' if len(value) == 1 else ''})"
    return f"'{value}'" if isinstance(value, str) else str(value)
