"""Reading files of weights, whatever wrote them."""

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

# Under which key the tensors lie: torch's habit, Detectron2's and PVT's, pycls's, Detectron's.
_WRAPPERS = ("state_dict", "model", "model_state", "blobs")


def read_file(path: Path) -> Any:
    """The content of a file of weights. Nothing in it is executed.

    Raises :class:`CheckpointError` when there is none or when it cannot be read.
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
    # Damaged files fail in every layer of the readers with errors of every type.
    except Exception as error:
        raise CheckpointError(
            f"{path}: cannot be read ({reason(error)}). Either it is damaged, for instance a "
            "copy or download that stopped early, or it is not a file of weights."
        ) from error


def tensors_in(content: Any, source: Path | str) -> dict[str, Tensor]:
    """The tensors by name in what :func:`read_file` returned.

    The prefix ``module.``, which a wrapper for several GPUs leaves, is taken off. Raises
    :class:`CheckpointError` when there is anything else beside the tensors.
    """
    if isinstance(content, Mapping):
        content = next((content[key] for key in _WRAPPERS if key in content), content)
    tensors = named_tensors(content, source)
    if tensors and all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
    return tensors


def named_tensors(content: Any, source: Path | str) -> dict[str, Tensor]:
    """``content`` as a dictionary of dense tensors; :class:`CheckpointError` where it is none."""
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{source}: holds no weights by name (a 'state_dict').")
    return {name: _tensor(name, value, source) for name, value in content.items()}


def _tensor(name: Any, value: Any, source: Path | str) -> Tensor:
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf" and value.itemsize <= 8:
        value = torch.from_numpy(value)
    if not isinstance(name, str) or not isinstance(value, Tensor):
        raise CheckpointError(
            f"{source}: holds no weights by name (a 'state_dict'): {name!r:.80} is a "
            f"{type(value).__name__}."
        )
    if value.layout != torch.strided or value.is_nested or value.is_quantized or value.is_meta:
        raise CheckpointError(
            f"{source}: {name} is no dense tensor but a sparse, nested or quantized one, or one "
            "without values. Save the dense weights."
        )
    return value


def _verify(path: Path) -> None:
    """Raises unless the file holds what was written, as far as checksums in it or its name tell."""
    if is_archive(path):
        verify_archive(path)
        return
    digits = hash_digits(path.name)
    if digits is None or has_digits(path, digits):
        return
    raise ValueError(
        f"its content does not have the hash {digits} of its name; if that is no hash, rename it"
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
    """What went wrong, in one line."""
    # torch's writer hides the system's error ("No space left on device") behind its own.
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__context__
    if isinstance(error, pickle.UnpicklingError) and "unsupported" in str(error).lower():
        return "it holds Python objects, which are not loaded because they could execute code"
    lines = str(error).strip().splitlines()
    return lines[0][:200].rstrip(".") if lines else type(error).__name__
