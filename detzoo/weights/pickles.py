"""Reads pickles as data: containers, numbers, text, tensors and NumPy arrays, and nothing else.

A pickle is a program that can call anything it names. These readers look up every name in the short
table below, whose entries are our own stand-ins: a file cannot even call NumPy's constructors.
"""

from __future__ import annotations

import pickle
import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

# With references, a few hundred bytes can expand beyond any memory. Checkpoints have thousands of
# values, nested about a dozen levels deep.
_MAX_VALUES = 2_000_000
_MAX_DEPTH = 100
# Numbers, booleans and text of any width; no objects, no records.
_PLAIN_TYPE = re.compile(r"[<>=|]?([biufcSU]\d{1,4}|\?)")


class _Type:
    """Stand-in for ``numpy.dtype``: a dtype of plain values, and its byte order."""

    def __init__(self, code: str, align: bool = False, copy: bool = True) -> None:
        if not isinstance(code, str) or not _PLAIN_TYPE.fullmatch(code):
            raise pickle.UnpicklingError(f"Unsupported type of array: {code!r}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, order, parent, names, fields, *_ = state
        if parent is not None or names is not None or fields is not None:
            raise pickle.UnpicklingError("Unsupported type of array: a record")
        self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """Stand-in for ``numpy.ndarray`` until its content has been read."""

    values: np.ndarray

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, type_, is_fortran, data = state
        # Python 2 stored bytes as text.
        raw = data.encode("latin1") if isinstance(data, str) else data
        self.values = _from_buffer(raw, type_, shape, "F" if is_fortran else "C")


class _Records:
    """Stands in for what MMEngine remembers of losses, and keeps nothing of it."""

    def __setstate__(self, state: Any) -> None:
        pass


def _reconstruct(*_: Any) -> _Array:
    """Stand-in for NumPy's function of this name, which creates an empty array."""
    return _Array()


def _from_buffer(data: bytes, type_: _Type, shape: tuple[int, ...], order: str) -> np.ndarray:
    values = np.frombuffer(data, type_.dtype).reshape(shape, order="F" if order == "F" else "C")
    # A writable copy in native byte order.
    return values.astype(type_.dtype.newbyteorder("="), order="C")


def _scalar(type_: _Type, data: bytes | str) -> Any:
    """Stand-in for ``numpy.core.multiarray.scalar``: returns a Python number or text."""
    raw = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(raw, type_.dtype, count=1)[0].item()


def _encode(text: str, codec: str) -> bytes:
    """Stand-in for ``codecs.encode``, with which old protocols store bytes."""
    if codec not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"Unsupported codec: {codec!r}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Stand-in for ``bytes``, which old protocols call for empty bytes."""
    return b""


_OF_NUMPY: dict[str, Callable[..., Any]] = {
    "multiarray._reconstruct": _reconstruct,
    "multiarray.scalar": _scalar,
    "numeric._frombuffer": _from_buffer,
}
_STAND_INS: dict[str, Callable[..., Any]] = {
    "__builtin__.bytes": _no_bytes,
    "builtins.bytes": _no_bytes,  # as torch calls it
    "_codecs.encode": _encode,
    "mmengine.logging.history_buffer.HistoryBuffer": _Records,
    "numpy.dtype": _Type,
    "numpy.ndarray": _Array,
    **{f"numpy.core.{name}": stand_in for name, stand_in in _OF_NUMPY.items()},
    **{f"numpy._core.{name}": stand_in for name, stand_in in _OF_NUMPY.items()},  # since numpy 2
}


def load_torch(path: Path) -> Any:
    """Loads a file written by ``torch.save``, with tensors on the CPU.

    Raises ``pickle.UnpicklingError`` for a file that names anything outside the table.
    """
    allowed: list[Any] = [(stand_in, name) for name, stand_in in _STAND_INS.items()]
    with torch.serialization.safe_globals(allowed):
        return _Copying().copy(torch.load(path, map_location="cpu", weights_only=True))


def load_pickle(path: Path) -> Any:
    """Loads a file written by ``pickle.dump``, also in Python 2.

    Raises ``pickle.UnpicklingError`` for a file that names anything outside the table.
    """
    with open(path, "rb") as file:
        return _Copying().copy(_Unpickler(file, encoding="latin1").load())


# The pure Python implementation: the one in C allocates as much memory as a file requests.
class _Unpickler(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full == "collections.OrderedDict":
            return OrderedDict
        if full not in _STAND_INS:
            raise pickle.UnpicklingError(f"Unsupported object: {full}")
        return _Sealed(_STAND_INS[full])


class _Sealed:
    """A callable whose attributes cannot be set.

    The opcode BUILD sets attributes of the object on the stack, so a file could otherwise modify
    the stand-ins used for later files.
    """

    __slots__ = ("_function",)
    _function: Callable[..., Any]

    def __init__(self, function: Callable[..., Any]) -> None:
        object.__setattr__(self, "_function", function)

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setattr__(self, name: str, value: Any) -> None:
        raise pickle.UnpicklingError("Unsupported change of a function")


class _Copying:
    """Copies content, replacing stand-ins by arrays. Values that occur twice are counted twice."""

    def __init__(self) -> None:
        self.count = 0

    def copy(self, value: Any, depth: int = 0) -> Any:
        """Converts ``value`` to containers, numbers, text, tensors and arrays."""
        self.count += 1
        if self.count > _MAX_VALUES or depth > _MAX_DEPTH:
            raise pickle.UnpicklingError("it contains too many values, or too deeply nested ones")
        if isinstance(value, _Array):
            return value.values
        if isinstance(value, _Records):
            return None
        if isinstance(value, _Type | _Sealed | type) or callable(value):
            raise pickle.UnpicklingError("Unsupported object: a type or function as a value")
        if isinstance(value, dict):
            items = value.items()
            return {self.copy(key, depth + 1): self.copy(item, depth + 1) for key, item in items}
        if isinstance(value, list):
            return [self.copy(item, depth + 1) for item in value]
        if isinstance(value, tuple):
            return tuple(self.copy(item, depth + 1) for item in value)
        return value
