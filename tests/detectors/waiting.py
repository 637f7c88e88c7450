"""Finds what makes the host wait for the device, without a device."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

import detzoo

# Its own folder: any other folder may have the name of the package, such as that of a clone.
PACKAGE = Path(detzoo.__file__).parent

# Works on processors alone, as ``works_by_rows`` says.
ON_PROCESSORS = "weighted_rows.py"
# Their results have a size, or a value, that the host must know.
WAITS = (
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "_unique2",
    "unique_dim",
    "unique_consecutive",
    "bincount",
    "equal",
    "is_nonzero",
)


class Waiting(TorchDispatchMode):
    """While active, notes in ``places`` every operation on which a GPU's host would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[str] = []

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = func.overloadpacket.__name__
        by_mask = name in ("index", "index_put", "index_put_") and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        if name in WAITS or by_mask:
            frame = own_frame()
            # Torch looks at the classes themselves on processors alone.
            if "one_hot(" not in (frame.line or "") and not frame.filename.endswith(ON_PROCESSORS):
                self.places.append(f"{name} in {frame.filename}:{frame.lineno}")
        return func(*args, **(kwargs or {}))


def own_frame() -> traceback.FrameSummary:
    """The line of detzoo that is at work, or the nearest to it."""
    frames = traceback.extract_stack()
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(PACKAGE)]
    return (own or frames)[-1]
