"""``detzoo sweep``: trains with different settings or seeds."""

from __future__ import annotations

import csv
import math
import shlex
import signal
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from detzoo.cli.common import apply_setting, check_data, check_source, next_folder, plain_console
from detzoo.cli.run_options import RunOptions
from detzoo.cli.run_start import first_experiment
from detzoo.cli.sweep_trials import Space, Sweep, combinations
from detzoo.cli.train import train
from detzoo.errors import ConfigError

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from detzoo.experiment import Experiment

SWEEPS = Path("sweeps")
# Options of train that a sweep gives itself.
_OWN = ("out", "resume", "slurm", "dry_run")


def sweep(
    context: typer.Context,
    spaces: Annotated[
        list[str] | None,
        typer.Option(
            "--space",
            metavar="PATH=VALUES",
            help="Values of a setting: optimizer.lr=log:1e-4..1e-2 (logarithmically), "
            "model.bbox_head.num_convs=1..4, or a list, data.images_per_device=[2, 4]; repeat for "
            "several settings.",
            show_default=False,
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Trials in all, with those of an interrupted sweep. Default: 20, or all "
            "combinations where all settings have lists.",
            show_default=False,
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="What is to be as high as possible, of the validation metrics. Default: the one "
            "that best.pt is chosen by, mostly bbox/AP.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,C",
            help="Train with each of these seeds, for the mean and the standard deviation.",
            show_default=False,
        ),
    ] = None,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune/--no-prune",
            help="Stop trials that are worse than the median of earlier ones at the same "
            "evaluation (not with several seeds).",
        ),
    ] = True,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the sweep. Default: a new sweeps/NAME-<n>.")
    ] = None,
) -> None:
    """Train with different settings or seeds, and find the best ones, with Optuna.

    All other arguments are those of [bold]detzoo train[/]. Each trial is an ordinary run in a
    folder of its own. The same command with the same --out goes on with a sweep that was
    interrupted. Writes trials.csv.

    Examples:

      detzoo sweep retinanet_r50_fpn_1x_coco --data my_data --epochs 6 --space
      optimizer.lr=log:1e-4..1e-2 --space 'data.images_per_device=[2, 4]' --trials 30

      detzoo sweep retinanet_r50_fpn_1x_coco --data my_data --seeds 0,1,2
    """
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise ConfigError("detzoo sweep: needs Optuna: pip install 'detzoo[sweep]'") from None
    numbers = _seeds(seeds)
    given = tuple(Space.parse(text) for text in spaces or ())
    if not given and not numbers:
        raise ConfigError("--space: give settings to vary, or --seeds")
    paths = [space.path for space in given]
    if len(set(paths)) < len(paths):
        raise ConfigError(f"--space: {', '.join(paths)}: give each setting once")
    options = _options(context.args, with_seeds=bool(numbers))
    metric = _check(options, given, metric)
    folder = out or next_folder(SWEEPS, Path(options.name or "").stem)
    plan = Sweep(folder, tuple(context.args), given, metric, numbers, prune)
    every = combinations(given)
    _run(plan, trials or (20 if every is None else len(every)))


def _seeds(text: str | None) -> tuple[int, ...]:
    parts = [] if text is None else [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts) or len(set(parts)) < len(parts):
        raise ConfigError(f"--seeds {text}: write different whole numbers, such as 0,1,2")
    return tuple(int(part) for part in parts)


def _options(arguments: Sequence[str], *, with_seeds: bool) -> RunOptions:
    """The options of ``detzoo train`` in ``arguments``; raises what that command would."""
    app = typer.Typer()
    app.command()(train)
    parsed = typer.main.get_command(app).make_context("detzoo sweep", list(arguments)).params
    for name in (*_OWN, *(("seed",) if with_seeds else ())):
        if parsed[name]:
            raise ConfigError(
                f"--{name.replace('_', '-')}: a sweep has no such option; leave it out"
            )
    check_source(parsed["name"], parsed["weights"])
    lists = ("data", "images", "val", "val_images")
    check_data(*(path for name in lists for path in parsed[name] or ()))
    return RunOptions.of(parsed)


def _check(options: RunOptions, spaces: Sequence[Space], metric: str | None) -> str:
    """Returns the metric that counts.

    Raises :class:`ConfigError` for a setting that does not exist or does not take a value, and for
    a metric that evaluations do not have.
    """
    options, experiment, names = first_experiment(options)
    for space in spaces:
        for value in space.examples:
            setting = f"{space.path}={value}"
            try:
                apply_setting(experiment, setting)
            except ConfigError as error:
                reason = str(error).removeprefix(f"--set {setting}: ")
                raise ConfigError(f"--space {space.path}: {value}: {reason}") from None
    return _check_metric(options, experiment, names, metric)


def _check_metric(
    options: RunOptions,
    experiment: Experiment,
    names: tuple[str, ...] | None,
    metric: str | None,
) -> str:
    from detzoo.cli.run_data import open_run_data
    from detzoo.train.callbacks.named import make_callback
    from detzoo.train.validation import find_metric, make_evaluators

    data = open_run_data(options, experiment.seed, None, names)
    if data.val is None:
        raise ConfigError("detzoo sweep: trials are compared on validation data; give --val")
    callbacks = [make_callback(name) for name in options.callbacks]
    _, of_nothing = make_evaluators(experiment.for_data(data.train), data.val, callbacks)
    metric = find_metric(metric, of_nothing, "--metric")
    if math.isnan(of_nothing[metric]):
        raise ConfigError(
            f"--metric {metric}: is undefined on {data.val.source}, which contains no objects of "
            "this kind. Give another metric, or other validation data (--val)."
        )
    return metric


def _run(plan: Sweep, count: int) -> None:
    from filelock import FileLock, Timeout

    console = plain_console()
    plan.folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(plan.folder / ".lock", timeout=0):
            study = plan.open()
            earlier = len(plan.finished(study))
            done = f"going on after {earlier} of " if earlier else ""
            where = plan.folder / "trial-K" / "log.txt"
            trials = "1 trial" if count == 1 else f"{count} trials"
            console.print(f"{done}{trials}; {where} says how far one is", soft_wrap=True)
            previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
            try:
                while len(plan.finished(study)) < count:
                    ended = plan.run_next(study)
                    console.print(f"{plan.folder / ended.user_attrs['folder']}: {_line(ended)}")
            finally:
                signal.signal(signal.SIGTERM, previous)
            _print_result(plan, plan.finished(study))
    except Timeout:
        raise ConfigError(
            f"--out {plan.folder}: another sweep is running there. Give another folder."
        ) from None
    except KeyboardInterrupt:
        console.print(
            f"interrupted; the same command with --out {plan.folder} goes on", soft_wrap=True
        )
        raise typer.Exit(130) from None


def _line(trial: FrozenTrial) -> str:
    values = ", ".join(f"{path}={_short(value)}" for path, value in trial.params.items())
    return f"{values}{' -> ' if values else ''}{_score(trial)}"


def _score(trial: FrozenTrial) -> str:
    """What became of a trial."""
    scores = trial.user_attrs.get("scores")
    if scores is None:
        pruned = trial.state.name == "PRUNED"
        return "stopped early" if pruned else f"failed: {trial.user_attrs.get('error')}"
    if len(scores) == 1:
        return f"{scores[0]:.4f}"
    return f"{statistics.fmean(scores):.4f} ± {statistics.stdev(scores):.4f}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _print_result(plan: Sweep, trials: Sequence[FrozenTrial]) -> None:
    """The trials, best first, their file, and how to train with the best values."""
    from rich.table import Table

    def rank(trial: FrozenTrial) -> tuple[float, int]:
        return -statistics.fmean(trial.user_attrs.get("scores", [-1.0])), trial.number

    console = plain_console()
    ordered = sorted(trials, key=rank)
    paths = [space.path for space in plan.spaces]
    table = Table("run", *paths, plan.metric)
    for trial in ordered:
        values = [_short(trial.params[path]) for path in paths]
        table.add_row(trial.user_attrs["folder"], *values, _score(trial).partition(":")[0])
    console.print(table)
    _write_table(plan, ordered)
    console.print(f"wrote {plan.folder / 'trials.csv'}", soft_wrap=True)
    if "scores" not in ordered[0].user_attrs:
        console.print("no trial was completed")
        raise typer.Exit(1)
    if plan.spaces:
        command = shlex.join(["detzoo", *plan.command(ordered[0].params)])
        console.print(f"train with the best values:\n  {command}", soft_wrap=True)
    if any(trial.state.name == "FAIL" for trial in trials):
        raise typer.Exit(1)


def _write_table(plan: Sweep, trials: Sequence[FrozenTrial]) -> None:
    """``trials.csv``: a row per trial; ``scores`` of several seeds are in their order."""
    paths = [space.path for space in plan.spaces]
    with (plan.folder / "trials.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["run", *paths, plan.metric, "scores", "state"])
        for trial in trials:
            scores = trial.user_attrs.get("scores", [])
            writer.writerow(
                [
                    trial.user_attrs["folder"],
                    *(trial.params[path] for path in paths),
                    statistics.fmean(scores) if scores else "",
                    " ".join(map(str, scores)),
                    trial.state.name.lower(),
                ]
            )
