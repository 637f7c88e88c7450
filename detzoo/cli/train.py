"""``detzoo train``."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detzoo.cli.common import (
    Device,
    Fuse,
    IgnoreExif,
    Imports,
    Settings,
    SkipBroken,
    Trust,
    apply_setting,
    check_data,
    check_source,
    find_experiment,
    is_first_process,
    latest_folder,
    next_folder,
    plain_console,
    print_broken,
)
from detzoo.cli.run_data import FILE as SPLIT_FILE
from detzoo.cli.run_data import RunData, open_run_data
from detzoo.cli.run_options import FILE, RunOptions, read_options, to_json, version_changes
from detzoo.errors import ConfigError

if TYPE_CHECKING:
    from detzoo.checkpoints.transfer import ClassTransfer
    from detzoo.detectors.base import Detector
    from detzoo.experiment import Experiment
    from detzoo.train.callbacks import Callback
    from detzoo.train.trainer import TrainingResult
    from detzoo.train.validation import EarlyStopping

RUNS = Path("runs")


def train(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            help="A model of the zoo (see [bold]detzoo models[/]), or the configuration of a "
            "checkpoint, an experiment.json or a config file of MMDetection 2.x.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of a data set (COCO, Roboflow or VOC), or a COCO JSON; repeat to join "
            "several by class name.",
            show_default=False,
        ),
    ] = None,
    images: Annotated[
        list[Path] | None,
        typer.Option(
            help="Image folder, where --data is an annotation file; one for all, or one for each.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        str, typer.Option(help="Which split of --data to train on; for VOC: trainval.")
    ] = "train",
    val: Annotated[
        list[Path] | None,
        typer.Option(
            help="Data to evaluate on; repeat to join several. Default: the val split of --data, "
            "or else a fifth of it that is held out.",
            show_default=False,
        ),
    ] = None,
    val_images: Annotated[
        list[Path] | None,
        typer.Option(help="Image folder, where --val is an annotation file.", show_default=False),
    ] = None,
    val_split: Annotated[
        str | None, typer.Option(help="Which split to evaluate on. Default: val, or what there is.")
    ] = None,
    val_fraction: Annotated[
        float | None,
        typer.Option(
            metavar="F",
            help="Hold out this part of --data to evaluate on: whole scenes, by their names; .2 is "
            "a fifth, 0 nothing.",
        ),
    ] = None,
    fold: Annotated[
        str | None,
        typer.Option(metavar="K/N", help="Hold out fold K of N, for cross-validation: 2/5."),
    ] = None,
    skip_broken: SkipBroken = False,
    ignore_exif: IgnoreExif = False,
    proposals: Annotated[
        Path | None,
        typer.Option(help="Regions for models that do not propose their own (Fast R-CNN)."),
    ] = None,
    val_proposals: Annotated[
        Path | None, typer.Option(help="Those of the data to evaluate on.")
    ] = None,
    semantic_maps: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A gray PNG of classes for every image, for HTC."),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,C",
            help="The classes to train on, in order; objects of others are left out. Default: the "
            "data's.",
        ),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Start from this checkpoint; classes meet by name.")
    ] = None,
    from_scratch: Annotated[
        bool,
        typer.Option("--from-scratch", help="Start without pretrained weights; nothing is frozen."),
    ] = False,
    settings: Settings = None,
    imports: Imports = None,
    trust: Trust = False,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Stretches the schedule to so many epochs.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Images per step on each device.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=0, help="Processes that load images.")] = None,
    precision: Annotated[str | None, typer.Option(help="fp32, bf16 or fp16.")] = None,
    lr_scaling: Annotated[
        bool,
        typer.Option("--lr-scaling/--no-lr-scaling", help="Scale the learning rate to the batch."),
    ] = True,
    early_stopping: Annotated[
        str | None,
        typer.Option(
            metavar="[METRIC,]N",
            help="Stop after N evaluations without a better METRIC, such as bbox/AP50,3.",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run. Default: a new runs/NAME-<n>.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the run in --out, or with the latest of NAME; other options stay "
            "as they were, unless given again.",
        ),
    ] = False,
    checkpoint_steps: Annotated[
        int | None, typer.Option(min=1, help="Also save last.pt every so many steps.")
    ] = None,
    loggers: Annotated[
        list[str] | None,
        typer.Option(
            "--logger",
            metavar="NAME",
            help="Also log to wandb or mlflow; repeat for both.",
            show_default=False,
        ),
    ] = None,
    callbacks: Annotated[
        list[str] | None,
        typer.Option(
            "--callback",
            metavar="MODULE:CLASS",
            help="Add a callback of your own; repeat as needed.",
            show_default=False,
        ),
    ] = None,
    fuse: Fuse = True,
    device: Device = None,
) -> None:
    """Train a model on your data.

    Class names come from the data. Writes last.pt (to resume), best.pt (to detect with),
    experiment.json, metrics.jsonl, metrics.csv, log.txt and, where images are held out, split.json
    into the folder of the run.

    Examples:

      detzoo train faster_rcnn_r50_fpn_1x_coco --data my_data

      detzoo train retinanet_r50_fpn_1x_coco --data train.json --images photos --val val.json
      --epochs 24 --batch-size 4 --set optimizer.lr=0.005

      detzoo train mask_rcnn_r50_fpn_1x_coco --data my_data --weights runs/x-1/best.pt

      detzoo train atss_r50_fpn_1x_coco --data summer --data winter --classes person,dog
      --val-fraction .2

      detzoo train --resume --out runs/x-1

      torchrun --nproc-per-node 4 -m detzoo train faster_rcnn_r50_fpn_1x_coco --data my_data
      --out runs/four
    """
    check_source(name, weights)
    check_data(*(path for paths in (data, images, val, val_images) for path in paths or ()))
    from detzoo.devices import resolve_device
    from detzoo.train.callbacks.files import RunFile
    from detzoo.train.loop import train as run

    if weights is not None and (from_scratch or resume):
        raise ConfigError(
            f"--weights {weights}: with --{'resume' if resume else 'from-scratch'} there are no "
            "weights to start from. Leave one of the two out."
        )
    given = RunOptions.of(context.params)
    resume = resume or _is_restarted(out)
    run_dir = _run_folder(name, out, resume)
    if resume:
        options, experiment, notes = _resumed(run_dir, given, _typed(context))
        names = experiment.class_names if _is_v2_file(options.name) else None
    else:
        notes = []
        options, experiment, names = _first_experiment(given)
    chosen_device = resolve_device(options.device)
    stopping = _parse_early_stopping(options.early_stopping)
    added = _callbacks(options, notes)

    data_of_run = open_run_data(options, experiment.seed, run_dir if resume else None, names)
    train_data, division = data_of_run.train, data_of_run.division
    if division is not None:
        added.append(RunFile(SPLIT_FILE, division.to_json()))
    experiment = replace(experiment, class_names=train_data.class_names)
    model = _initial_model(experiment, None if resume else options.weights, resume)

    result = run(
        experiment,
        model,
        train_data,
        data_of_run.val,
        run_dir,
        device=chosen_device,
        resume=resume,
        scale_learning_rate=options.lr_scaling,
        early_stopping=stopping,
        checkpoint_steps=options.checkpoint_steps,
        fused=options.fuse,
        callbacks=added,
        division=division,
    )
    if result.stop_signal is not None:
        if is_first_process():
            print(f"go on with: {_resume_command(run_dir)}")
        raise typer.Exit(128 + result.stop_signal)
    if is_first_process():
        _print_result(result, options, data_of_run)


# ------------------------------------------------------------------------------- what is asked


def _typed(context: typer.Context) -> set[str]:
    """The names of the parameters that are on the command line."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}


def _is_restarted(out: Path | None) -> bool:
    """Whether ``torchrun --max-restarts`` has started this process again, after a checkpoint."""
    from detzoo.train.distributed import restarts

    return restarts() > 0 and out is not None and (out / "last.pt").is_file()


def _run_folder(name: str | None, out: Path | None, resume: bool) -> Path:
    """Where the run is, or is to be."""
    if out is None and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("--out: with several processes, give the folder that they share")
    if out is None and name is None:
        if resume:
            raise ConfigError(
                "--resume: give the run's folder with --out, or a model's NAME for its latest run"
            )
        raise ConfigError("NAME: give a model (detzoo models lists the zoo's)")
    stem = Path(name or "").stem
    if resume:
        folder = out or latest_folder(RUNS, stem)
        if folder is None or not (folder / "last.pt").is_file():
            place = folder or RUNS / f"{stem}-<n>"
            raise ConfigError(
                f"--resume: {place} holds no run (last.pt). Give the folder of the run with --out, "
                "or start one without --resume."
            )
        return folder
    folder = out or next_folder(RUNS, stem)
    if (folder / "last.pt").exists():
        raise ConfigError(
            f"--out {folder}: holds a run already. Go on with it (--resume), or give another one."
        )
    return folder


def _first_experiment(
    options: RunOptions,
) -> tuple[RunOptions, Experiment, tuple[str, ...] | None]:
    """What is trained, and the classes that a V2 file says are (None: all of the data).

    The options come with the data of a V2 file where they name none.
    """
    name = options.name
    if name is None:
        raise ConfigError("NAME: give a model (detzoo models lists the zoo's)")
    names = None
    if _is_v2_file(name):
        from detzoo.cli.import_mmdet import print_notes
        from detzoo.cli.own_data import with_own_data
        from detzoo.mmdet import import_file

        imported = import_file(name, trust=options.trust)
        experiment, names = imported.to_train(), imported.trained_classes
        if is_first_process():
            print_notes(imported, name)
        options = with_own_data(options, imported)
        for setting in options.settings:
            experiment = apply_setting(experiment, setting)
    else:
        experiment = find_experiment(name, options.settings, to_train=True)
    experiment = _with_options(experiment, options)
    if options.from_scratch:
        model = experiment.model.from_scratch()
        experiment = replace(experiment, model=model, initial_weights=None)
    return options, experiment, names


def _is_v2_file(name: str | None) -> bool:
    return name is not None and name.endswith(".py")


def _resumed(
    run_dir: Path, given: RunOptions, typed: set[str]
) -> tuple[RunOptions, Experiment, list[str]]:
    """Options and experiment of the run in ``run_dir``, with what was typed again; and the changes,
    in words."""
    from detzoo.checkpoints.catalog import import_modules

    kept = read_options(run_dir)
    if kept is None:
        if given.name is None or not given.data:
            raise ConfigError(
                f"--resume: {run_dir} has no {FILE} with the options it was started with (it may "
                "be from an older version). Give the full command that started it, plus --resume."
            )
        return given, _first_experiment(given)[1], []
    if "name" in typed and given.name != kept.name:
        raise ConfigError(
            f"{given.name}: the run in {run_dir} trains {kept.name}. Leave the name out to resume "
            "it, or give another --out to train this model."
        )
    options, new, notes = kept.changed_by(given, typed)
    import_modules(options.imports)
    experiment = find_experiment(str(run_dir / "experiment.json"))
    for setting in new.settings:
        experiment = apply_setting(experiment, setting)
    return options, _with_options(experiment, new), notes + version_changes(run_dir)


def _with_options(experiment: Experiment, options: RunOptions) -> Experiment:
    """The options that are short names of settings."""
    if options.epochs is not None:
        if not experiment.schedule.counts_epochs:
            raise ConfigError(
                f"--epochs {options.epochs}: this model's schedule counts iterations; give "
                "--set schedule.length=N, or a model that counts epochs."
            )
        experiment = experiment.stretched_to(options.epochs)
    data = experiment.data
    if options.batch_size is not None:
        data = replace(data, images_per_device=options.batch_size)
    if options.workers is not None:
        data = replace(data, workers=options.workers)
    experiment = replace(experiment, data=data)
    if options.precision is not None:
        from detzoo.devices import check_precision

        experiment = replace(experiment, precision=check_precision(options.precision))
    return experiment if options.seed is None else replace(experiment, seed=options.seed)


def _callbacks(options: RunOptions, notes: Sequence[str]) -> list[Callback]:
    """Those that were asked for, after the one that keeps the options."""
    from detzoo.train.callbacks.files import RunFile
    from detzoo.train.callbacks.named import make_callback, make_loggers

    own = [make_callback(name) for name in options.callbacks]
    return [RunFile(FILE, to_json(options), notes), *make_loggers(options.loggers), *own]


def _parse_early_stopping(text: str | None) -> EarlyStopping | None:
    from detzoo.train.validation import EarlyStopping

    if text is None:
        return None
    metric, _, patience = text.rpartition(",")
    if not patience.isdigit() or int(patience) < 1:
        raise ConfigError(
            f"--early-stopping {text}: write a metric and a number of evaluations: bbox/AP50,3"
        )
    return EarlyStopping(metric=metric or None, patience=int(patience))


# ------------------------------------------------------------------------------------ its start


def _initial_model(experiment: Experiment, weights: str | None, resume: bool) -> Detector:
    """The detector with the weights that training starts from."""
    import torch

    from detzoo import zoo
    from detzoo.backbones.pretrained import find_pretrained
    from detzoo.backbones.timm import SCHEME
    from detzoo.checkpoints import checkpoint
    from detzoo.checkpoints.transfer import initialize, initialize_backbone
    from detzoo.inference.loading import find_published, is_checkpoint_path

    pretrained = experiment.model.backbone.pretrained_name
    source: Path | str | None = weights
    names: tuple[str, ...] | None = None
    if resume or weights is not None:
        pretrained = None
    elif experiment.initial_weights is not None:
        source, pretrained = experiment.initial_weights, None
        if not is_checkpoint_path(source):
            entry = zoo.find(source)
            source, names = find_published(entry), entry.experiment.class_names
    # What is missing is said before the seconds that building a model takes.
    if pretrained is not None and not pretrained.startswith(SCHEME):
        find_pretrained(pretrained)
    given = None if source is None else checkpoint.read_weights(source)

    torch.manual_seed(experiment.seed)
    model = experiment.build_model()
    if given is not None:
        transfer = initialize(
            model,
            given.tensors,
            from_names=given.class_names or names,
            to_names=experiment.class_names,
            source=str(source),
        )
        if is_first_process() and model.class_parameters():
            _print_transfer(transfer, str(source))
    elif pretrained is not None:
        report = initialize_backbone(model.pretrained_modules(), pretrained)
        if is_first_process():
            _print_names("not in the pretrained weights", report.missing)
            _print_names("not used of the pretrained weights", report.unexpected)
    return model


def _print_transfer(transfer: ClassTransfer, source: str) -> None:
    from rich.table import Table

    console = plain_console()
    if not transfer.copied:
        console.print(f"{source} names no class of the data: all start fresh")
    table = Table("class", "starts", title=f"from {source}", title_justify="left")
    for name in transfer.copied:
        table.add_row(name, "trained")
    for name in transfer.fresh:
        table.add_row(name, "fresh")
    console.print(table)
    if transfer.unused:
        console.print(f"not used: {', '.join(transfer.unused)}", soft_wrap=True)


def _print_names(what: str, names: tuple[str, ...]) -> None:
    if names:
        more = f" and {len(names) - 8} more" if len(names) > 8 else ""
        print(f"{what}: {', '.join(names[:8])}{more}")


# -------------------------------------------------------------------------------------- its end


def _resume_command(run_dir: Path) -> str:
    """What the user types to go on."""
    command = ["detzoo"]
    if "LOCAL_WORLD_SIZE" in os.environ:
        processes = os.environ["LOCAL_WORLD_SIZE"]
        command = ["torchrun", "--nproc-per-node", processes, "-m", "detzoo"]
    return shlex.join([*command, "train", "--resume", "--out", str(run_dir)])


def _print_result(result: TrainingResult, options: RunOptions, data: RunData) -> None:
    """What came of it, and what can be done with it."""
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
    if data.test_arguments is not None:
        lines.append(f"  {shlex.join([*_test_command(best, options, data), *imports])}")
    for line in [*lines, f"  {shlex.join(predict)}"]:
        console.print(line, soft_wrap=True, markup=False)
    if data.broken:
        print_broken(data.broken)
        raise typer.Exit(1)


def _test_command(best: Path, options: RunOptions, data: RunData) -> list[str]:
    """What repeats the run's own evaluation."""
    command = ["detzoo", "test", str(best), *(data.test_arguments or ())]
    if options.device is not None:
        command += ["--device", options.device]
    return command if options.fuse else [*command, "--no-fuse"]
