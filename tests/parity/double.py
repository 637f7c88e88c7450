"""Everything in float64, for models whose float32 numbers are not reproducible."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

from detzoo.ops import constants
from detzoo.priors import anchors, points, ssd, yolo


@contextlib.contextmanager
def float64() -> Iterator[None]:
    """New tensors are float64, and so is what the code brings to float32 by ``Tensor.float()``."""
    ordinary = Tensor.float
    torch.set_default_dtype(torch.float64)
    Tensor.float = Tensor.double  # type: ignore[method-assign]
    _forget()
    try:
        yield
    finally:
        Tensor.float = ordinary  # type: ignore[method-assign]
        torch.set_default_dtype(torch.float32)
        _forget()


def _forget() -> None:
    """Empties the caches of tensors."""
    for module in (anchors, constants, points, ssd, yolo):
        for value in vars(module).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()
