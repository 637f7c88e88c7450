"""``--slurm``: submits a command to Slurm, through the package ``submitit``."""

from __future__ import annotations

import math
import runpy
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from detzoo.cli.common import plain_console
from detzoo.cli.launch import without_option
from detzoo.errors import ConfigError, UserError

Slurm = Annotated[
    str | None,
    typer.Option(
        "--slurm",
        metavar="KEY=VALUE,...",
        help="Submit the command to Slurm, with --devices processes on each node: nodes=2, "
        "hours=24, cpus=8 (of each process), mem=64 (GB of each node), and options of sbatch, such "
        "as partition=gpu.",
        show_default=False,
    ),
]
# "local" runs jobs on this machine.
CLUSTER = "slurm"


@dataclass
class Job:
    """A command in each process of a job; preempted, it is submitted again and resumes."""

    arguments: Sequence[str]
    run_dir: str | None

    def __call__(self) -> None:
        import submitit

        submitit.helpers.TorchDistributedEnvironment().export(overwrite=True)
        sys.argv = ["detzoo", *self.arguments]
        try:
            runpy.run_module("detzoo", run_name="__main__")
        except SystemExit as stop:
            if stop.code not in (None, 0):
                raise UserError(f"the command ended with code {stop.code}") from None

    def checkpoint(self) -> Any:
        """What to submit when time is up: called by submitit."""
        import submitit

        arguments = list(self.arguments)
        if self.run_dir is not None and Path(self.run_dir, "last.pt").is_file():
            arguments = ["train", "--resume", "--out", self.run_dir]
        return submitit.helpers.DelayedSubmission(Job(arguments, self.run_dir))


def submit(
    slurm: str | None,
    devices: int | None,
    *more: str,
    run_dir: Path | None = None,
    on_gpus: bool = True,
) -> Any:
    """Submits the command that was typed, with ``more`` arguments, and exits.

    Returns where ``slurm`` is None. Logs go into a folder ``slurm`` of ``run_dir``, or of the
    current folder.
    """
    if slurm is None:
        return
    arguments = without_option(without_option(sys.argv[1:], "--slurm"), "--devices")
    job = Job([*arguments, *more], None if run_dir is None else str(run_dir.absolute()))
    logs = (run_dir or Path()) / "slurm"
    submitted = submit_job(job, logs, slurm, devices or 1, on_gpus=on_gpus)
    plain_console().print(f"submitted as job {submitted.job_id}; logs in {logs}", soft_wrap=True)
    raise typer.Exit


def submit_job(job: Job, logs: Path, options: str, devices: int, *, on_gpus: bool) -> Any:
    """Submits ``job`` with the ``options`` of ``--slurm``; returns submitit's job."""
    try:
        import submitit
    except ImportError:
        raise ConfigError("--slurm: needs submitit: pip install 'detzoo[slurm]'") from None
    parameters = _parameters(options)
    try:
        executor = submitit.AutoExecutor(logs, cluster=CLUSTER)
        executor.update_parameters(
            name="detzoo",
            tasks_per_node=devices,
            **({"gpus_per_node": devices} if on_gpus else {}),
            **parameters,
        )
        return executor.submit(job)
    except (RuntimeError, OSError, submitit.core.utils.FailedJobError) as error:
        text = " ".join(str(error).split())
        raise ConfigError(f"--slurm {options}: the job cannot be submitted ({text}).") from None


def _parameters(options: str) -> dict[str, Any]:
    """What is typed, in submitit's words."""
    own = {"nodes": "nodes", "hours": "timeout_min", "cpus": "cpus_per_task", "mem": "mem_gb"}
    found: dict[str, Any] = {"timeout_min": 24 * 60}
    of_sbatch: dict[str, str] = {}
    for part in options.split(","):
        key, equals, value = (text.strip() for text in part.partition("="))
        if not (key and equals and value):
            raise ConfigError(
                f"--slurm {options}: {part!r} is not KEY=VALUE; write "
                "partition=gpu,nodes=2,hours=24."
            )
        if key not in own:
            of_sbatch[key] = value
            continue
        try:
            number = float(value)
        except ValueError:
            number = 0.0
        if not 0 < number < 1e6:
            raise ConfigError(
                f"--slurm {options}: {key} is a number greater than 0, not {value!r}."
            )
        found[own[key]] = math.ceil(number * 60 if key == "hours" else number)
    return found | ({"slurm_additional_parameters": of_sbatch} if of_sbatch else {})
