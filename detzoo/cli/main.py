"""The ``detzoo`` command."""

from __future__ import annotations

import ctypes
import io
import os
import platform
import sys
from typing import Annotated

import typer

import detzoo
from detzoo.cli.analyze import analyze
from detzoo.cli.benchmark import benchmark
from detzoo.cli.checkpoint import checkpoint
from detzoo.cli.compare import compare
from detzoo.cli.complexity import complexity
from detzoo.cli.config import config
from detzoo.cli.data import data
from detzoo.cli.doctor import doctor
from detzoo.cli.env import env
from detzoo.cli.evaluate import evaluate
from detzoo.cli.export import export
from detzoo.cli.foreign import check_options
from detzoo.cli.import_mmdet import import_mmdet
from detzoo.cli.logs import logs
from detzoo.cli.models import models
from detzoo.cli.predict import predict
from detzoo.cli.publish import publish
from detzoo.cli.quickstart import quickstart
from detzoo.cli.robustness import robustness
from detzoo.cli.sweep import sweep
from detzoo.cli.test import measure
from detzoo.cli.train import train
from detzoo.cli.ui import ui
from detzoo.cli.weights import weights
from detzoo.errors import UserError

# Of glibc's <malloc.h>.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
LARGEST_INT = 2**31 - 1

app = typer.Typer(
    name="detzoo",
    help="Object detectors on plain PyTorch: train, test, predict. Start with detzoo quickstart.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"detzoo {detzoo.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Options that stand before a command."""


app.command("train")(train)
# Options that it does not know are those of train.
app.command("sweep", context_settings={"ignore_unknown_options": True, "allow_extra_args": True})(
    sweep
)
app.command("test")(measure)
app.command("predict")(predict)
app.command("evaluate")(evaluate)
app.command("analyze")(analyze)
app.command("compare")(compare)
app.command("robustness")(robustness)
app.add_typer(data, name="data")
app.command("models")(models)
app.command("config")(config)
app.command("checkpoint")(checkpoint)
app.command("publish")(publish)
app.command("export")(export)
app.command("ui")(ui)
app.add_typer(weights, name="weights")
app.command("import-mmdet")(import_mmdet)
app.add_typer(benchmark, name="benchmark")
app.command("complexity")(complexity)
app.add_typer(logs, name="logs")
app.command("env")(env)
app.command("doctor")(doctor)
app.command("quickstart")(quickstart)


def main() -> None:
    """Entry point: sets up the process, which a library must not do, and runs the command line."""
    # Read when torch is imported. With threads that busy-wait for each other, a step on the CPU is
    # eight times slower as soon as another process, such as a loader worker, needs a core.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    keep_freed_memory()
    run()


def run() -> None:
    """Runs the command line. Errors caused by the user end in one paragraph and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name that the terminal cannot display must not abort the command.
            stream.reconfigure(errors="backslashreplace")
    try:
        check_options(sys.argv[1:])
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def keep_freed_memory() -> None:
    """Lets glibc reuse the memory of one image's feature maps for the next image.

    By default it returns large blocks to the system, which zeroes every page when they are
    allocated again: about a tenth of the time of an image on a CPU. Allocator variables set by the
    user take precedence.
    """
    is_set = any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ)
    if is_set or platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    for parameter in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD):
        libc.mallopt(parameter, LARGEST_INT)


if __name__ == "__main__":
    main()
