"""``detzoo logs``: curves and summaries of training logs."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from detzoo.errors import ConfigError

if TYPE_CHECKING:
    from detzoo.logs import Axis, RunLog

logs = typer.Typer(
    no_args_is_help=True,
    help="Curves and step times of training runs, from detzoo or MMDetection.",
    rich_markup_mode="rich",
)

Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE...", help="metrics.jsonl, a run folder, or MMDetection's .log.json."
    ),
]


@logs.command("plot")
def plot(
    files: Files,
    keys: Annotated[
        str, typer.Option(metavar="A,B,...", help="Losses or metrics, as listed by summary.")
    ] = "loss",
    axis: Annotated[str, typer.Option("--x", help="epoch or iteration.")] = "epoch",
    smooth: Annotated[
        int, typer.Option(min=1, metavar="N", help="Plot means over N records of training.")
    ] = 1,
    title: Annotated[str | None, typer.Option(help="Title of the figure.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Output file: .png, .svg or .pdf. Default: a new curves-<n>.png."
        ),
    ] = None,
) -> None:
    """Plot losses or metrics of one or several runs.

    Metrics are called as in detzoo (bbox/AP50) or in MMDetection (bbox_mAP_50); beside losses, they
    have an axis of their own.

    Examples:

      detzoo logs plot runs/retinanet-1 --keys loss_cls,loss_bbox

      detzoo logs plot runs/a-1 runs/b-1 20200130_002941.log.json --keys bbox/AP50 -o ap.svg

      detzoo logs plot runs/a-1 --keys loss,bbox/AP --smooth 10 --title 'first run'
    """
    from detzoo.logs import draw_curves

    if axis not in ("epoch", "iteration"):
        raise ConfigError(f"--x {axis}: must be epoch or iteration")
    names = [key.strip() for key in keys.split(",") if key.strip()]
    if not names:
        raise ConfigError(f"--keys {keys!r}: is empty; give losses or metrics, such as loss")
    if out is None:
        numbers = itertools.count(1)
        out = next(file for n in numbers if not (file := Path(f"curves-{n}.png")).exists())
    draw_curves(_read(files), names, cast("Axis", axis), out, smooth=smooth, title=title)
    print(f"wrote {out}")


@logs.command("summary")
def summary(files: Files) -> None:
    """Show step times, the slowest and fastest epochs, and the latest values.

    Examples:

      detzoo logs summary runs/retinanet-1 runs/retinanet-2
    """
    from detzoo.logs import epoch_times

    for log in _read(files):
        times = epoch_times(log)
        print(f"{log.name}  ({log.source})")
        print(
            f"  step {times.mean:.4f} s on average; slowest epoch {times.slowest[0]}: "
            f"{times.slowest[1]:.4f} s, fastest epoch {times.fastest[0]}: {times.fastest[1]:.4f} s"
            f", standard deviation over epochs {times.deviation:.4f} s"
        )
        for kind in ("train", "val"):
            records = [record for record in log.records if record.kind == kind]
            if records:
                last = records[-1]
                values = "  ".join(f"{key} {value:.4g}" for key, value in last.values.items())
                print(f"  last {kind} record, epoch {last.epoch:.2f}: {values}")


def _read(files: list[Path]) -> list[RunLog]:
    from detzoo.logs import read_log

    return [read_log(file) for file in files]
