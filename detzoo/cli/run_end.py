"""How a training run ends: its report, its outcome, and the commands to go on with."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from detzoo.cli.common import plain_console, print_broken
from detzoo.cli.run_data import RunData
from detzoo.cli.run_options import RunOptions

if TYPE_CHECKING:
    import torch

    from detzoo.experiment import Experiment
    from detzoo.train.trainer import TrainingResult


def resume_command(run_dir: Path) -> str:
    """The command that resumes the run."""
    command = ["detzoo"]
    if "LOCAL_WORLD_SIZE" in os.environ:
        processes = os.environ["LOCAL_WORLD_SIZE"]
        command = ["torchrun", "--nproc-per-node", processes, "-m", "detzoo"]
    return shlex.join([*command, "train", "--resume", "--out", str(run_dir)])


def write_report(
    run_dir: Path, options: RunOptions, experiment: Experiment, device: torch.device
) -> None:
    """The page on the run, with the command, the machine, and what differs from the recipe."""
    from detzoo import zoo
    from detzoo.benchmark.machine import describe_machine
    from detzoo.run_report import write_run_report

    machine = ", ".join(f"{name} {value}" for name, value in describe_machine(device).items())
    name = options.name
    entry = None if name is None or not zoo.has(name) else zoo.find(name).experiment
    write_run_report(
        run_dir,
        [shlex.join(options.to_command()), machine],
        None if entry is None else (entry, experiment),
    )


def print_result(result: TrainingResult, options: RunOptions, data: RunData) -> None:
    """Prints the outcome of training and the next commands to run."""
    from detzoo.logs import divergence, read_log

    console = plain_console()
    if result.metrics is not None:
        console.print(result.metrics.table())
    fault = divergence(read_log(result.run_dir))
    if fault is not None:
        console.print(f"finished, but {fault}", soft_wrap=True, markup=False)
        raise typer.Exit(1)
    best = result.run_dir / ("best.pt" if (result.run_dir / "best.pt").exists() else "last.pt")
    imports = [part for module in options.imports for part in ("--import", module)]
    predict = ["detzoo", "predict", str(best), "IMAGES", "--out", "predictions", *imports]
    lines = [f"done: {best}"]
    if options.report and (result.run_dir / "report.html").is_file():
        lines.append(f"  report: {result.run_dir / 'report.html'}")
    if data.test_arguments is not None:
        lines.append(f"  {shlex.join([*_test_command(best, options, data), *imports])}")
    for line in [*lines, f"  {shlex.join(predict)}"]:
        console.print(line, soft_wrap=True, markup=False)
    if data.broken:
        print_broken(data.broken)
        raise typer.Exit(1)


def _test_command(best: Path, options: RunOptions, data: RunData) -> list[str]:
    """The command that repeats the run's evaluation."""
    command = ["detzoo", "test", str(best), *(data.test_arguments or ())]
    if options.device is not None:
        command += ["--device", options.device]
    return command if options.fuse else [*command, "--no-fuse"]
