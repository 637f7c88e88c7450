"""What a figure was measured on."""

from __future__ import annotations

import datetime
import platform
from pathlib import Path

import torch
import torchvision

import detzoo


def describe_machine(device: torch.device) -> dict[str, str | int]:
    """Device, processor, threads, versions and date: what belongs beside every figure."""
    return {
        "device": _name(device),
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "detzoo": detzoo.__version__,
        "torch": str(torch.__version__),
        "torchvision": torchvision.__version__,
        "python": platform.python_version(),
        "date": datetime.date.today().isoformat(),
    }


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _processor() -> str:
    """The processor's name, as the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def synchronize(device: torch.device) -> None:
    """Waits until ``device`` has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def reset_peak_memory(device: torch.device) -> None:
    """Peak memory counts from here, where it can be reset (on CUDA)."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
