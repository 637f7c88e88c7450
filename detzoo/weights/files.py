"""Reads weight files of all supported formats."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from detzoo.errors import CheckpointError
from detzoo.weights.archive import is_archive, verify_archive
from detzoo.weights.pickles import load_pickle, load_torch
from detzoo.weights.places import hash_digits

# The key of the tensors: torch's convention, Detectron2's and PVT's, pycls's, Detectron's.
_WRAPPERS = ("state_dict", "model", "model_state", "blobs")


def read_file(path: Path) -> Any:
    """Reads a weight file without executing anything in it.

    Raises :class:`CheckpointError` if the file does not exist or cannot be read.
    """
    if not path.is_file():
        what = "no such file"
        if path.exists():
            what = f"is {'a folder' if path.is_dir() else 'a pipe, socket or device'}, not a file"
        raise CheckpointError(f"{path}: {what}. Give the path of a checkpoint, such as best.pt.")
    try:
        _verify(path)
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        return load_pickle(path) if path.suffix == ".pkl" else load_torch(path)
    # Damaged files cause errors of all types in all layers of the readers.
    except Exception as error:
        raise CheckpointError(
            f"{path}: cannot be read ({reason(error)}). Either it is damaged, for instance a "
            "copy or download that stopped early, or it is not a weight file."
        ) from error


def tensors_in(content: Any, source: Path | str) -> dict[str, Tensor]:
    """Extracts the tensors by name from what :func:`read_file` returned.

    The prefix ``module.`` of DataParallel wrappers is removed. Raises :class:`CheckpointError` if
    there is anything but tensors.
    """
    if isinstance(content, Mapping):
        content = next((content[key] for key in _WRAPPERS if key in content), content)
    tensors = named_tensors(content, source)
    if tensors and all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
    return tensors


def named_tensors(content: Any, source: Path | str) -> dict[str, Tensor]:
    """Checks that ``content`` is a dict of dense tensors; otherwise raises
    :class:`CheckpointError`.
    """
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{source}: contains no state dict.")
    return {name: _tensor(name, value, source) for name, value in content.items()}


def _tensor(name: Any, value: Any, source: Path | str) -> Tensor:
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf" and value.itemsize <= 8:
        value = torch.from_numpy(value)
    if not isinstance(name, str) or not isinstance(value, Tensor):
        raise CheckpointError(
            f"{source}: contains no state dict: {name!r:.80} is a {type(value).__name__}."
        )
    if value.layout != torch.strided or value.is_nested or value.is_quantized or value.is_meta:
        raise CheckpointError(
            f"{source}: {name} is not a dense tensor but a sparse, nested or quantized one, or one "
            "without values. Save the dense weights."
        )
    return value


def _verify(path: Path) -> None:
    """Raises if the content does not match checksums in the file or its name, if there are any."""
    if is_archive(path):
        verify_archive(path)
        return
    digits = hash_digits(path.name)
    if digits is None or has_digits(path, digits):
        return
    raise ValueError(
        f"its content does not match the hash {digits} in its name; if that is not a hash, rename "
        "it"
    )


def has_digits(path: Path, digits: str) -> bool:
    """Whether the SHA-256 of the file starts with ``digits``."""
    return sha256_of(path).startswith(digits)


def sha256_of(path: Path) -> str:
    """The SHA-256 of the file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def reason(error: BaseException) -> str:
    """Describes an error on one line."""
    # torch's writer wraps the system error ("No space left on device") in its own.
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__context__
    if isinstance(error, pickle.UnpicklingError) and "unsupported" in str(error).lower():
        return "it contains Python objects, which are not loaded because they could execute code"
    lines = str(error).strip().splitlines()
    return lines[0][:200].rstrip(".") if lines else type(error).__name__
