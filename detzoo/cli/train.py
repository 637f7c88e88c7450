"""``detzoo train``."""

from __future__ import annotations

from collections.abc import Sequence
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
    check_data,
    check_source,
    is_first_process,
)
from detzoo.cli.launch import Devices, launch
from detzoo.cli.run_data import FILE as SPLIT_FILE
from detzoo.cli.run_data import open_run_data
from detzoo.cli.run_end import print_result, resume_command, write_report
from detzoo.cli.run_options import FILE, RunOptions, to_json
from detzoo.cli.run_start import (
    describe_origin,
    first_experiment,
    initial_model,
    is_restarted,
    is_v2_file,
    resumed_experiment,
    run_folder,
)
from detzoo.cli.slurm import Slurm, submit
from detzoo.errors import ConfigError

if TYPE_CHECKING:
    from detzoo.train.callbacks import Callback
    from detzoo.train.validation import EarlyStopping


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
            help="A data set: a folder, or its annotation file, in any common format (COCO, YOLO, "
            "VOC, CVAT, ...); repeat to join several by class name.",
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
            help="Validation data; repeat to join several. Default: the val split of --data, "
            "or else a fifth of its images, held out.",
            show_default=False,
        ),
    ] = None,
    val_images: Annotated[
        list[Path] | None,
        typer.Option(help="Image folder, where --val is an annotation file.", show_default=False),
    ] = None,
    val_split: Annotated[
        str | None,
        typer.Option(help="Which split to evaluate on. Default: val, or the one that exists."),
    ] = None,
    val_fraction: Annotated[
        float | None,
        typer.Option(
            metavar="F",
            help="Hold out this fraction of --data for validation, by whole scenes (from file "
            "names); .2 is a fifth, 0 none.",
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
        Path | None, typer.Option(help="Regions for the validation data.")
    ] = None,
    semantic_maps: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Semantic maps for HTC: a grayscale PNG of classes per image."
        ),
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
        str | None, typer.Option(help="Start from this checkpoint; classes are matched by name.")
    ] = None,
    from_scratch: Annotated[
        bool,
        typer.Option(
            "--from-scratch", help="Train without pretrained weights; no layer is frozen."
        ),
    ] = False,
    image_size: Annotated[
        str | None,
        typer.Option(
            metavar="WxH",
            help="Size of images, such as 640x640, in training and evaluation; sizes of several "
            "scales are multiplied alike.",
        ),
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option(help="Learning rate for the recipe's batch; see --lr-scaling."),
    ] = None,
    freeze: Annotated[
        int | None,
        typer.Option(min=-1, help="Stages of the backbone that stay as they are; -1: none."),
    ] = None,
    settings: Settings = None,
    imports: Imports = None,
    trust: Trust = False,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Number of epochs; the schedule is scaled accordingly."),
    ] = None,
    batch_size: Annotated[
        str | None,
        typer.Option(
            metavar="N|auto",
            help="Images per step on each device; auto: as many as fit into the memory of a GPU.",
        ),
    ] = None,
    val_batch_size: Annotated[
        int,
        typer.Option(
            min=1,
            help="Images of one size per batch in evaluations: the same results, on a GPU sooner.",
        ),
    ] = 1,
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
    seed: Annotated[int | None, typer.Option(help="Random seed.")] = None,
    deterministic: Annotated[
        bool,
        typer.Option(
            "--deterministic",
            help="Compute the same to the bit in every run with a seed, on a GPU too, where it is "
            "slower.",
        ),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run. Default: a new runs/NAME-<n>.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Resume the run in --out, or the latest one of NAME; options keep their values "
            "unless given again.",
        ),
    ] = False,
    checkpoint_steps: Annotated[
        int | None, typer.Option(min=1, help="Also save last.pt every N steps.")
    ] = None,
    loggers: Annotated[
        list[str] | None,
        typer.Option(
            "--logger",
            metavar="NAME",
            help="Also log to wandb or mlflow; repeat for both. On resuming, none drops those that "
            "the run has.",
            show_default=False,
        ),
    ] = None,
    callbacks: Annotated[
        list[str] | None,
        typer.Option(
            "--callback",
            metavar="MODULE:CLASS",
            help="Add your own callback; repeat as needed.",
            show_default=False,
        ),
    ] = None,
    report: Annotated[
        bool,
        typer.Option(
            "--report/--no-report",
            help="Write report.html into the folder of the run: curves, and pictures over time.",
        ),
    ] = True,
    fuse: Fuse = True,
    compile_model: Annotated[
        bool,
        typer.Option(
            "--compile/--no-compile",
            help="Compile backbone and neck for training (torch.compile), once per size of input "
            "in steps of 128 pixels: minutes at first.",
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Take the first step, evaluate an image, say what the run would do, and write "
            "nothing.",
        ),
    ] = False,
    device: Device = None,
    devices: Devices = None,
    slurm: Slurm = None,
) -> None:
    """Train a model on your data.

    Class names come from the data. Writes last.pt (for resuming), best.pt (for inference),
    experiment.json, metrics.jsonl, metrics.csv, log.txt and, if images are held out, split.json to
    the run folder.

    Examples:

      detzoo train faster_rcnn_r50_fpn_1x_coco --data my_data

      detzoo train retinanet_r50_fpn_1x_coco --data train.json --images photos --val val.json
      --epochs 24 --batch-size 4 --set optimizer.lr=0.005

      detzoo train mask_rcnn_r50_fpn_1x_coco --data my_data --weights runs/x-1/best.pt

      detzoo train atss_r50_fpn_1x_coco --data summer --data winter --classes person,dog
      --val-fraction .2

      detzoo train --resume --out runs/x-1

      detzoo train faster_rcnn_r50_fpn_1x_coco --data my_data --dry-run

      detzoo train faster_rcnn_r50_fpn_1x_coco --data my_data --devices 4
    """
    check_source(name, weights)
    check_data(*(path for paths in (data, images, val, val_images) for path in paths or ()))
    from detzoo.devices import resolve_device
    from detzoo.train.batch_size import check_device, with_largest_batch
    from detzoo.train.callbacks.files import RunFile
    from detzoo.train.loop import train as run

    if weights is not None and (from_scratch or resume):
        raise ConfigError(
            f"--weights {weights}: cannot be combined with "
            f"--{'resume' if resume else 'from-scratch'}. Remove one of them."
        )
    given = RunOptions.of(context.params)
    resume = resume or is_restarted(out)
    run_dir = run_folder(name, out, resume)
    where = [] if out is not None else ["--out", str(run_dir)]
    if dry_run and slurm is not None:
        raise ConfigError("--slurm: writes the logs of a job, and --dry-run nothing. Remove one.")
    submit(slurm, devices, *where, run_dir=run_dir, on_gpus=device != "cpu")
    launch(devices, *where)
    if resume:
        options, experiment, notes = resumed_experiment(run_dir, given, _typed(context))
        names = experiment.class_names if is_v2_file(options.name) else None
    else:
        notes = []
        options, experiment, names = first_experiment(given)
    chosen_device = resolve_device(options.device)
    tries_batches = options.batch_size == "auto" and not resume
    if tries_batches:
        check_device(experiment, chosen_device)
    if options.deterministic and chosen_device.type == "cpu":
        notes.append("--deterministic: on a CPU, runs with the same seed are equal anyway")
    stopping = _parse_early_stopping(options.early_stopping)
    added = _callbacks(options, notes)

    data_of_run = open_run_data(options, experiment.seed, run_dir if resume else None, names)
    train_data, division = data_of_run.train, data_of_run.division
    if division is not None:
        added.append(RunFile(SPLIT_FILE, division.to_json()))
    experiment = experiment.for_data(train_data)
    model = initial_model(experiment, None if resume else options.weights, resume)
    if tries_batches:
        experiment, note = with_largest_batch(
            experiment, model, train_data, chosen_device, compiled=options.compile_model
        )
        if is_first_process():
            print(note)

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
        compiled=options.compile_model,
        callbacks=added,
        division=division,
        val_batch_size=options.val_batch_size,
        dry_run=dry_run,
        deterministic=options.deterministic,
    )
    if result.rehearsal is not None:
        from detzoo.cli.dry_run import print_rehearsal

        if is_first_process():
            started_with = "what the run has learned so far"
            if not resume:
                started_with = describe_origin(experiment, options.weights)
            print_rehearsal(result.rehearsal, run_dir, experiment, data_of_run, started_with)
        return
    if options.report and is_first_process():
        write_report(result.run_dir, options, experiment, chosen_device)
    if result.stop_signal is not None:
        if is_first_process():
            print(f"resume with: {resume_command(run_dir)}")
        raise typer.Exit(128 + result.stop_signal)
    if is_first_process():
        print_result(result, options, data_of_run)


# -------------------------------------------------------------------------------- options


def _typed(context: typer.Context) -> set[str]:
    """The names of the parameters given on the command line."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}


def _callbacks(options: RunOptions, notes: Sequence[str]) -> list[Callback]:
    """The requested callbacks, then the one that saves the options: those that work are saved."""
    from detzoo.train.callbacks.files import RunFile
    from detzoo.train.callbacks.named import make_callback, make_loggers
    from detzoo.train.callbacks.pictures import Pictures

    own = [make_callback(name) for name in options.callbacks]
    pictures = [Pictures()] if options.report else []
    kept = RunFile(FILE, to_json(options), notes)
    return [*pictures, *make_loggers(options.loggers), *own, kept]


def _parse_early_stopping(text: str | None) -> EarlyStopping | None:
    from detzoo.train.validation import EarlyStopping

    if text is None:
        return None
    metric, _, patience = text.rpartition(",")
    if not patience.isdigit() or int(patience) < 1:
        raise ConfigError(
            f"--early-stopping {text}: write a metric and a number of evaluations, e.g. bbox/AP50,3"
        )
    return EarlyStopping(metric=metric or None, patience=int(patience))
