"""Where the host waits for the device."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch

import detzoo
from tests.detectors.waiting import Waiting

PACKAGE = Path(detzoo.__file__).parent


@contextlib.contextmanager
def never_waiting(device: torch.device) -> Iterator[None]:
    """Waiting is an error, as PyTorch sees it on a GPU."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@contextlib.contextmanager
def noting_waits(device: torch.device) -> Iterator[list[str]]:
    """The list has the places where the host waited: as PyTorch sees them on a GPU, elsewhere as
    far as operations tell."""
    if device.type != "cuda":
        with Waiting() as waiting:
            yield waiting.places
        return
    places: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield places
        finally:
            torch.cuda.set_sync_debug_mode("default")
    for warning in caught:
        if re.search("synchroniz", str(warning.message)):
            file = Path(warning.filename)
            name = file.relative_to(PACKAGE) if file.is_relative_to(PACKAGE) else file
            places.append(f"{name}:{warning.lineno}")
