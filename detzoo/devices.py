"""Devices by name, and precisions."""

from __future__ import annotations

from typing import Literal, get_args

import torch

from detzoo.errors import ConfigError, DeviceError

Precision = Literal["fp32", "bf16", "fp16"]
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
