"""Devices by name, and the precision in which they compute."""

from __future__ import annotations

from typing import Literal, get_args

import torch

from detzoo.errors import ConfigError, DeviceError

Precision = Literal["fp32", "bf16", "fp16"]
_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def check_precision(name: str) -> Precision:
    """``name``, if it is that of a precision; else raises :class:`ConfigError`."""
    for precision in get_args(Precision):
        if name == precision:
            return precision
    raise ConfigError(f"--precision {name}: is not one of {', '.join(get_args(Precision))}")


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """A context in which layers compute in ``precision``, where torch deems that safe."""
    return torch.autocast(device.type, _TYPES[precision], enabled=precision != "fp32")


def resolve_device(name: str | torch.device | None = None) -> torch.device:
    """The device called ``name``; without a name a GPU, or the CPU where there is none.

    Raises :class:`DeviceError` for a device that is not there.
    """
    counts = _counts()
    if name is None:
        return torch.device("cuda" if counts["cuda"] else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DeviceError(f"device {str(name)!r}: not the name of a device. {_present()}") from None
    if (device.index or 0) >= counts.get(device.type, 0):
        raise DeviceError(f"device {str(name)!r}: not on this machine. {_present()}")
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
    return f"There is: {', '.join(map(str, present_devices()))}."
