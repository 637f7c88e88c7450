"""Devices by name."""

from __future__ import annotations

import torch

from detzoo.errors import DeviceError


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
