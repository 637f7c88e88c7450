"""``detzoo quickstart``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from detzoo.cli.common import Device, next_folder


def quickstart(
    out: Annotated[
        Path | None, typer.Option(help="Output folder. Default: a new runs/quickstart-<n>.")
    ] = None,
    device: Device = None,
) -> None:
    """Generate a data set, train and evaluate a detector, and write a report. Takes minutes on a
    CPU.

    Generates scenes of simple shapes (boxes and masks, COCO JSON; nothing is downloaded), trains a
    small Mask R-CNN, evaluates it on held-out scenes, and writes pictures and a report
    (report.html).
    """
    from detzoo.devices import resolve_device
    from detzoo.quickstart.run import run

    run(out or next_folder(Path("runs"), "quickstart"), resolve_device(device))
