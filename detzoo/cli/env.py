"""``detzoo env``: shows installed packages and devices, and checks the devices' operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import torch

_PACKAGES = (
    "detzoo",
    "torch",
    "torchvision",
    "numpy",
    "opencv-python-headless",
    "faster-coco-eval",
    "scipy",
    "safetensors",
    "supervision",
    "typer",
    "rich",
    "tensorboard",
)


def env() -> None:
    """Show versions and devices, and check the operators that detection needs on each device.

    Exits with code 1 if a check fails.
    """
    import platform
    from importlib import metadata

    import torch
    from rich.console import Console
    from rich.table import Table

    from detzoo.devices import present_devices

    console = Console(highlight=False)
    console.print(f"Python {platform.python_version()} on {platform.platform()}", soft_wrap=True)
    for package in _PACKAGES:
        try:
            console.print(f"  {package} {metadata.version(package)}", soft_wrap=True)
        except metadata.PackageNotFoundError:
            console.print(f"  {package}: not installed", soft_wrap=True)
    console.print(
        f"CUDA of torch: {torch.version.cuda or 'none'}; threads: {torch.get_num_threads()}"
    )

    table = Table("device", "", *_CHECKS)
    all_right = True
    for device in present_devices():
        outcomes = [_outcome(check, device) for check in _CHECKS.values()]
        all_right &= all(outcome == "ok" for outcome in outcomes)
        table.add_row(str(device), _describe(device), *outcomes)
    console.print(table)
    if not all_right:
        raise typer.Exit(1)


def check_nms(device: torch.device) -> None:
    """Checks that NMS drops the lower-scored of two boxes with IoU 0.9 and keeps a separate one."""
    import torch
    from torchvision.ops import nms

    boxes = torch.tensor([[0, 0, 10, 9], [0, 0, 10, 10], [20, 0, 30, 10]], device=device).float()
    kept = nms(boxes, torch.tensor([0.5, 0.9, 0.7], device=device), 0.5)
    _expect(kept.tolist(), [1, 2])


def check_roi_align(device: torch.device) -> None:
    """Checks that on a feature map of x coordinates, each RoI bin returns its center."""
    import torch
    from torchvision.ops import roi_align

    ramp = torch.arange(8.0, device=device).expand(1, 1, 8, 8) + 0.5
    region = torch.tensor([[0, 2.0, 2.0, 6.0, 6.0]], device=device)
    cells = roi_align(ramp, region, 2, aligned=True)
    _expect(cells.flatten().tolist(), [3.0, 5.0, 3.0, 5.0])


def check_deform_conv(device: torch.device) -> None:
    """Checks that a 1x1 kernel with an offset of one pixel to the right reads the neighbor."""
    import torch
    from torchvision.ops import deform_conv2d

    image = torch.arange(4.0, device=device).reshape(1, 1, 1, 4)
    offset = torch.tensor([0.0, 1.0], device=device).reshape(1, 2, 1, 1).expand(1, 2, 1, 4)
    moved = deform_conv2d(image, offset.contiguous(), torch.ones(1, 1, 1, 1, device=device))
    _expect(moved.flatten().tolist(), [1.0, 2.0, 3.0, 0.0])


_CHECKS = {
    "NMS": check_nms,
    "RoIAlign": check_roi_align,
    "deformable convolution": check_deform_conv,
}


def _expect(found: list[float], right: list[float]) -> None:
    if len(found) != len(right) or any(abs(a - b) > 1e-4 for a, b in zip(found, right)):
        raise ArithmeticError(f"returns {found} instead of {right}")


def _outcome(check: Callable[[torch.device], None], device: torch.device) -> str:
    try:
        check(device)
    # Missing or broken operators raise all kinds of errors; each is a failed check.
    except Exception as error:
        reason = str(error).splitlines() or [type(error).__name__]
        return f"fails: {reason[0][:120]}"
    return "ok"


def _describe(device: torch.device) -> str:
    import torch

    if device.type != "cuda":
        return ""
    properties = torch.cuda.get_device_properties(device)
    return f"{properties.name}, {properties.total_memory / 2**30:.0f} GB"
