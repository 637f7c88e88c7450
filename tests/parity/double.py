"""Everything in float64, for models whose float32 numbers are not reproducible."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from unittest import mock

import torch
from torch import Tensor

from detzoo.ops.constants import constant
from detzoo.priors import anchors, fitted, points, ssd, yolo

# What keeps tensors from one model to the next.
CACHES = (constant, anchors._place, fitted._place, points._place, ssd._place, yolo._place)


@contextlib.contextmanager
def float64() -> Iterator[None]:
    """New tensors are float64, and so is what the code brings to float32 by ``Tensor.float()``."""
    torch.set_default_dtype(torch.float64)
    _empty_caches()
    try:
        with mock.patch.object(Tensor, "float", Tensor.double):
            yield
    finally:
        torch.set_default_dtype(torch.float32)
        _empty_caches()


def _empty_caches() -> None:
    for function in CACHES:
        function.cache_clear()
