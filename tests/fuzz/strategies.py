"""Malformed versions of valid inputs: bytes that are changed, values that cannot be."""

from __future__ import annotations

import copy
import math
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

_DEEP: Any = []
for _ in range(200):
    _DEEP = [_DEEP]

# What stands in files where something else belongs.
ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    7,
    0.5,
    -0.0,
    1e-320,
    1e38,
    1e300,
    math.inf,
    -math.inf,
    math.nan,
    2**31,
    2**63 - 1,
    2**63,
    2**64,
    -(2**63) - 1,
    10**400,
    "",
    "1",
    "x",
    "nan",
    "\ud800",
    "\0",
    "../..",
    "/",
    "x" * 300,
    [],
    {},
    [None],
    [[]],
    [1, 2],
    [math.nan] * 4,
    [1e300] * 4,
    [2**70] * 4,
    {"type": "x"},
    {"": None},
    _DEEP,
)


_ODD_NAMES = ("", "\ud800", "[red]", "type", "x" * 300, "a.b", "__class__")
_CHANGES = ("flip", "flip", "flip", "cut", "end", "double", "put", "over")


@st.composite
def broken_bytes(draw: st.DrawFn, valid: bytes) -> bytes:
    """``valid`` with bits flipped, and parts cut out, doubled, overwritten or put in."""
    data = bytearray(valid)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data)))
        length = draw(st.sampled_from((1, 1, 1, 2, 4, 8, 50, 1000)))
        match draw(st.sampled_from(_CHANGES)):
            case "flip" if place < len(data):
                data[place] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del data[place : place + length]
            case "end":
                del data[place:]
            case "double":
                data[place:place] = data[place : place + length]
            case "put":
                data[place:place] = draw(st.binary(max_size=8))
            case "over":
                number = draw(st.sampled_from((b"\xff", b"\0", b"\x7f", b"\x80", b"9")))
                data[place : place + min(length, 8)] = number * min(length, 8)
    return bytes(data)


def flipped_bit(valid: bytes) -> st.SearchStrategy[bytes]:
    """``valid`` with one bit flipped, as a bad disk or cable does it."""

    def flip(place: int) -> bytes:
        data = bytearray(valid)
        data[place // 8] ^= 1 << place % 8
        return bytes(data)

    return st.integers(0, 8 * len(valid) - 1).map(flip)


def broken_text(valid: str) -> st.SearchStrategy[bytes]:
    """``valid`` with characters changed; seldom no longer text."""
    return broken_bytes(valid.encode())


def few() -> settings:
    """For what takes long: a tenth of the inputs."""
    return settings(max_examples=max(5, settings.default.max_examples // 10))


@st.composite
def broken_values(draw: st.DrawFn, valid: Any, odd: tuple[Any, ...] = ODD_VALUES) -> Any:
    """A tree of dicts and lists with odd values in some places, or without some of them."""
    tree = copy.deepcopy(valid)
    for _ in range(draw(st.integers(1, 3))):
        places = _places(tree)
        if not places:
            return draw(st.sampled_from(odd))
        parent, key = draw(st.sampled_from(places))
        match draw(st.sampled_from(("change", "change", "change", "drop", "double", "name"))):
            case "change":
                parent[key] = copy.deepcopy(draw(st.sampled_from(odd)))
            case "drop":
                del parent[key]
            case "double" if isinstance(parent, list):
                parent.append(copy.deepcopy(parent[key]))
            case "double":
                parent[f"{key}x"] = copy.deepcopy(parent[key])
            case "name" if isinstance(parent, dict):
                parent[draw(st.sampled_from(_ODD_NAMES))] = parent.pop(key)
    return tree


def _places(tree: Any, depth: int = 0) -> list[tuple[Any, Any]]:
    """All (container, key) of a tree."""
    if not isinstance(tree, dict | list) or depth > 20:
        return []
    keys: list[Any] = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
    found = [(tree, key) for key in keys]
    for key in keys:
        found += _places(tree[key], depth + 1)
    return found
