"""Devices by name, and precisions."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from typing import Literal, get_args

import torch

from detzoo.errors import ConfigError, DeviceError

Precision = Literal["fp32", "bf16", "fp16"]
# Without it, cuBLAS adds in an order that depends on what else runs.
_CUBLAS, _CUBLAS_VALUE = "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def check_precision(name: str) -> Precision:
    """Returns ``name`` if it is a valid precision; otherwise raises :class:`ConfigError`."""
    for precision in get_args(Precision):
        if name == precision:
            return precision
    raise ConfigError(f"--precision {name}: is not one of {', '.join(get_args(Precision))}")


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """A context in which layers compute in ``precision`` where autocast considers it safe."""
    return torch.autocast(device.type, _TYPES[precision], enabled=precision != "fp32")


@contextlib.contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """A context in which an accelerator computes the same numbers every time, to the bit, and more
    slowly; a CPU does so anyway.

    Raises :class:`DeviceError` for an operation that cannot be computed so on ``device``.
    """
    if device.type == "cpu":
        yield
        return
    cudnn = torch.backends.cudnn
    before = torch.are_deterministic_algorithms_enabled(), cudnn.benchmark, cudnn.deterministic
    workspace = os.environ.get(_CUBLAS)
    os.environ.setdefault(_CUBLAS, _CUBLAS_VALUE)
    try:
        torch.use_deterministic_algorithms(True)
        cudnn.benchmark, cudnn.deterministic = False, True
        yield
    except RuntimeError as error:
        found = _NOT_DETERMINISTIC.match(str(error))
        if found is None:
            raise
        raise DeviceError(
            f"--deterministic: PyTorch has no deterministic form of {found[1]} on {device}, which "
            "this model needs. Train without the option, or on a CPU."
        ) from error
    finally:
        torch.use_deterministic_algorithms(before[0])
        cudnn.benchmark, cudnn.deterministic = before[1:]
        if workspace is None:
            del os.environ[_CUBLAS]


_NOT_DETERMINISTIC = re.compile(r"(\S+) does not have a deterministic implementation")


def resolve_device(name: str | torch.device | None = None) -> torch.device:
    """Returns the device called ``name``; None: a GPU if there is one, otherwise the CPU.

    Raises :class:`DeviceError` if the device does not exist.
    """
    counts = _counts()
    if name is None:
        return torch.device("cuda" if counts["cuda"] else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DeviceError(f"device {str(name)!r}: is not a device name. {_present()}") from None
    if (device.index or 0) >= counts.get(device.type, 0):
        raise DeviceError(f"device {str(name)!r}: does not exist on this machine. {_present()}")
    return device


def present_devices() -> list[torch.device]:
    """The CPU, then the accelerators of this machine."""
    devices = [torch.device("cpu")]
    devices += [torch.device("cuda", index) for index in range(_counts()["cuda"])]
    return devices + [torch.device("mps")] * _counts()["mps"]


def _counts() -> dict[str, int]:
    return {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }


def _present() -> str:
    return f"Available: {', '.join(map(str, present_devices()))}."
