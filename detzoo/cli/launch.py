"""``--devices N``: starts a command again in N processes, as ``torchrun`` does."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

Devices = Annotated[
    int | None,
    typer.Option(
        "--devices",
        min=1,
        help="GPUs of this machine to use, or processes on the CPU: starts the command as "
        "torchrun does.",
        show_default=False,
    ),
]


def launch(devices: int | None, *more: str) -> None:
    """Runs the command that was typed in ``devices`` processes, with ``more`` arguments, and exits.

    Returns where one is enough, and in those processes themselves.
    """
    if devices is None or devices == 1 or "TORCHELASTIC_RUN_ID" in os.environ:
        return
    _run(devices, [*without_option(sys.argv[1:], "--devices"), *more])


def without_option(arguments: Sequence[str], option: str) -> list[str]:
    """``arguments`` without an option and its value."""
    kept: list[str] = []
    is_value = False
    for argument in arguments:
        if is_value:
            is_value = False
        elif argument == option:
            is_value = True
        elif not argument.startswith(f"{option}="):
            kept.append(argument)
    return kept


def _run(devices: int, arguments: Sequence[str]) -> NoReturn:
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    # Several processes with all cores each would wait for each other.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (cores or 1) // devices)))
    options = ["--standalone", "--nproc-per-node", str(devices), "-m", "detzoo"]
    try:
        run(parse_args([*options, *arguments]))
    except ChildFailedError as error:
        # Each process has said what is wrong.
        _, failure = error.get_first_failure()
        code = failure.exitcode
        sys.exit(128 - code if code < 0 else code)
    except SignalException as error:
        sys.exit(128 + error.sigval)
    sys.exit(0)
