"""Describes the machine of a measurement."""

from __future__ import annotations

import datetime
import platform
from pathlib import Path

import torch
import torchvision

import detzoo


def describe_machine(device: torch.device) -> dict[str, str | int]:
    """Returns device, CPU, threads, versions and date, to be stored with every measurement."""
    return {
        "device": _name(device),
        "processor": _cpu(),
        "threads": torch.get_num_threads(),
        "detzoo": detzoo.__version__,
        "torch": str(torch.__version__),
        "torchvision": torchvision.__version__,
        "python": platform.python_version(),
        "date": datetime.date.today().isoformat(),
    }


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _cpu() -> str:
    """The CPU's name, as reported by the system."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def synchronize(device: torch.device) -> None:
    """Waits for all work submitted to ``device``."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def reset_peak_memory(device: torch.device) -> None:
    """Resets the peak memory statistics, where possible (on CUDA)."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
