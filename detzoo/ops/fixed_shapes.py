"""Whether shapes may depend on values."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import torch

_active: ContextVar[bool] = ContextVar("fixed_shapes", default=False)


@contextlib.contextmanager
def fixed_shapes() -> Iterator[None]:
    """Inside, no shape depends on a value where that would make a GPU's host wait, and every image
    of a batch has as many regions."""
    token = _active.set(True)
    try:
        yield
    finally:
        _active.reset(token)


def regions_are_even() -> bool:
    """Whether every image of a batch has as many regions, one image's after the other's."""
    return _active.get()


def shapes_are_fixed(device: torch.device) -> bool:
    """Whether operations on ``device`` must have shapes that depend on no value: in programs, and
    on GPUs inside :func:`fixed_shapes`."""
    return torch.compiler.is_compiling() or (_active.get() and device.type != "cpu")
