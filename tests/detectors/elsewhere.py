"""Runs detectors on a GPU that is not there.

Tensors without values pretend to be on it. PyTorch refuses operations on tensors of two devices,
and shapes that depend on values, for which a GPU's host must wait; copies are noted here.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from unittest import mock

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from detzoo.detectors.base import Detector
from detzoo.ops import constants
from detzoo.zoo.entry import Entry
from tests.detectors.waiting import own_frame
from tests.detectors.zoo_models import build

GPU = torch.device("cuda", 0)


@contextlib.contextmanager
def without_values() -> Iterator[None]:
    """Tensors made within have no values; drawing some is skipped.

    Each time in a mode of its own: one for all tests crashes, since PyTorch 2.14 frees the storage
    of a constant twice.
    """
    unchanged = mock.patch.object(nn.init, "trunc_normal_", lambda tensor, *_, **__: tensor)
    with FakeTensorMode(), unchanged:
        yield


def build_on_gpu(entry: Entry) -> Detector:
    with torch.device(GPU):
        return build(entry)


class Copying(TorchDispatchMode):
    """While active, notes in ``places`` every copy between devices that the host waits for.

    Constants are copied once, and are not noted.
    """

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
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in ("_to_copy", "copy_"):
            source = args[1] if name == "copy_" else args[0]
            at_once = not (kwargs or {}).get("non_blocking", args[2:] == (True,))
            if source.device.type != result.device.type and at_once and not _is_constant():
                frame = own_frame()
                self.places.append(f"{name} in {frame.filename}:{frame.lineno}")
        return result


def _is_constant() -> bool:
    """Whether a function of ``made_once`` is running."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code.co_filename == constants.__file__ and frame.f_code.co_name == "get":
            return True
    return False
