"""The output of ``detzoo train --dry-run``; imported only for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
import typer

from detzoo.cli.common import plain_console, print_broken
from detzoo.data.formats.base import counted

if TYPE_CHECKING:
    from detzoo.cli.run_data import RunData
    from detzoo.experiment import Experiment
    from detzoo.train.plan import Plan
    from detzoo.train.rehearsal import Rehearsal


def print_rehearsal(
    found: Rehearsal, run_dir: Path, experiment: Experiment, data: RunData, started_with: str
) -> None:
    """Prints what a run would do. Exits with code 1 if images are left out as broken."""
    console = plain_console()
    names = experiment.all_names
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    evaluated = "none to evaluate on" if data.val is None else f"{len(data.val)} to evaluate on"
    trained = f"{found.trained_parameters / 1e6:.1f} M"
    rows = {
        "folder": str(run_dir),
        "classes": f"{len(names)}: {', '.join(names[:8])}{more}",
        "images": f"{found.images} to train on, {evaluated}",
        "weights": started_with,
        "parameters": f"{found.parameters / 1e6:.1f} M, of which {trained} are trained",
        "steps": _steps(found),
        "learning rate": f"{found.learning_rate:.4g}{_warmup(found.plan)}",
        "next step" if found.steps_done else "first step": _first_step(found),
        "evaluations": _evaluations(found),
        "memory": _memory(found),
    }
    console.print("what the run would do:")
    for name, text in rows.items():
        console.print(f"  {name:15}{text}", soft_wrap=True)
    console.print("dry run: a step and an evaluation worked; nothing was written")
    if data.broken:
        print_broken(data.broken)
        raise typer.Exit(1)


def _steps(found: Rehearsal) -> str:
    plan = found.plan
    text = f"{plan.steps} of {counted(found.images_per_step, 'image')}"
    if plan.schedule.counts_epochs:
        text += f": {counted(plan.schedule.length, 'epoch')} of {plan.steps_per_epoch}"
    return f"{text}; {found.steps_done} are done" if found.steps_done else text


def _warmup(plan: Plan) -> str:
    warmup = plan.schedule.warmup
    if warmup is None:
        return ""
    if warmup.epochs:
        return f" after a warm-up of {counted(warmup.epochs, 'epoch')}"
    return f" after a warm-up of {counted(warmup.iterations, 'step')}"


def _first_step(found: Rehearsal) -> str:
    if not found.losses:
        return "none: the run is done"
    losses = ", ".join(f"{name} {value:.4g}" for name, value in found.losses.items())
    return f"{losses}; {found.seconds:.1f} s"


def _evaluations(found: Rehearsal) -> str:
    plan = found.plan
    count = sum(map(plan.evaluates_after, range(found.steps_done + 1, plan.steps + 1)))
    if found.metric is None:
        return "none"
    return f"{count}; best.pt is the one with the highest {found.metric}"


def _memory(found: Rehearsal) -> str:
    text = f"{found.memory_gb:.1f} GB in this process"
    if found.device.type != "cuda":
        return text
    total = torch.cuda.get_device_properties(found.device).total_memory / 1e9
    return f"{found.memory_gb:.1f} GB of the {total:.1f} GB of {found.device}"
