"""Reading Python pickles of plain values and arrays, without running any code."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from detzoo.errors import DataError


def read_pickle(path: str | Path) -> Any:
    """What a pickle holds: lists, dicts, numbers, texts and numpy arrays, of Python 2 too.

    A pickle can name any function and call it. Only numpy's own functions that put arrays together
    are allowed here; for anything else :class:`DataError` names it and nothing has been called.
    """
    try:
        with open(path, "rb") as file:
            return _ArrayUnpickler(file, encoding="latin1").load()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check the path") from None
    except _RefusedError as refused:
        raise DataError(
            f"{path}: it names {refused}, and only plain values and numpy arrays are read from "
            "pickles, because anything else could run code. Save its arrays alone."
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except Exception as error:  # a damaged pickle can raise anything
        raise DataError(
            f"{path}: is not a pickle, or is damaged ({type(error).__name__}: {error})."
        ) from None


class _RefusedError(Exception):
    pass


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        # What numpy 2 calls numpy._core was numpy.core before.
        allowed = _ALLOWED.get((module.replace("numpy._core", "numpy.core"), name))
        if allowed is None:
            raise _RefusedError(f"{module}.{name}")
        return allowed


def _encode(text: str, encoding: str) -> bytes:
    """How older protocols write the bytes of an array."""
    if encoding != "latin1":
        raise _RefusedError(f"the encoding {encoding}")
    return text.encode("latin1")


def _empty_bytes() -> bytes:
    """How older protocols write the bytes of an empty array."""
    return b""


def _numpy_functions() -> dict[tuple[str, str], Callable[..., Any]]:
    """The functions that numpy's own pickles name, taken from one of each kind."""
    reconstruct = np.zeros(0).__reduce__()[0]
    scalar = np.float32(0).__reduce__()[0]
    from_buffer = np.zeros(0).__reduce_ex__(5)[0]
    return {
        ("numpy.core.multiarray", "_reconstruct"): reconstruct,
        ("numpy.core.multiarray", "scalar"): scalar,
        ("numpy.core.numeric", "_frombuffer"): from_buffer,
    }


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _empty_bytes,
    **_numpy_functions(),
}
