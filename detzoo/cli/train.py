"""``detzoo train``."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detzoo.cli.common import (
    Device,
    Fuse,
    Imports,
    Settings,
    find_experiment,
    is_first_process,
    latest_folder,
    next_folder,
    open_split,
    print_dataset,
)
from detzoo.errors import ConfigError

if TYPE_CHECKING:
    from detzoo.checkpoints.transfer import ClassTransfer
    from detzoo.data.dataset import DetectionDataset
    from detzoo.detectors.base import Detector
    from detzoo.experiment import Experiment
    from detzoo.train.loop import TrainingResult
    from detzoo.train.validation import EarlyStopping

RUNS = Path("runs")


def train(
    name: Annotated[
        str,
        typer.Argument(
            help="A model of the zoo (see [bold]detzoo models[/]), or the configuration of a "
            "checkpoint, an experiment.json or a config file of MMDetection 2.x."
        ),
    ],
    data: Annotated[
        Path, typer.Option(help="Folder of a data set (COCO, Roboflow or VOC), or a COCO JSON.")
    ],
    images: Annotated[
        Path | None, typer.Option(help="Image folder, where --data is an annotation file.")
    ] = None,
    split: Annotated[
        str, typer.Option(help="Which split of --data to train on; for VOC: trainval.")
    ] = "train",
    val: Annotated[
        Path | None, typer.Option(help="Data to evaluate on. Default: the val split of --data.")
    ] = None,
    val_images: Annotated[
        Path | None, typer.Option(help="Image folder, where --val is an annotation file.")
    ] = None,
    val_split: Annotated[
        str | None, typer.Option(help="Which split to evaluate on. Default: val, or what there is.")
    ] = None,
    proposals: Annotated[
        Path | None,
        typer.Option(help="Regions for models that do not propose their own (Fast R-CNN)."),
    ] = None,
    val_proposals: Annotated[
        Path | None, typer.Option(help="Those of the data to evaluate on.")
    ] = None,
    semantic_maps: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A grey PNG of classes for every image, for HTC."),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(metavar="A,B,C", help="The class names, in order. Default: the data's."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Start from this checkpoint; classes meet by name.")
    ] = None,
    from_scratch: Annotated[
        bool,
        typer.Option("--from-scratch", help="Start without pretrained weights; nothing is frozen."),
    ] = False,
    settings: Settings = None,
    imports: Imports = None,
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
        bool, typer.Option("--resume", help="Go on with the run in --out, or with the latest one.")
    ] = False,
    checkpoint_steps: Annotated[
        int | None, typer.Option(min=1, help="Also save last.pt every so many steps.")
    ] = None,
    fuse: Fuse = True,
    device: Device = None,
) -> None:
    """Train a model on your data.

    Class names come from the data. Writes last.pt (to resume), best.pt (to detect with),
    experiment.json, metrics.jsonl and metrics.csv into the folder of the run.

    Examples:

      detzoo train faster_rcnn_r50_fpn_1x_coco --data my_data

      detzoo train retinanet_r50_fpn_1x_coco --data train.json --images photos --val val.json
      --epochs 24 --batch-size 4 --set optimizer.lr=0.005

      detzoo train mask_rcnn_r50_fpn_1x_coco --data my_data --weights runs/x-1/best.pt

      torchrun --nproc-per-node 4 -m detzoo train faster_rcnn_r50_fpn_1x_coco --data my_data
      --out runs/four
    """
    from detzoo.data.proposals import read_proposals
    from detzoo.devices import resolve_device
    from detzoo.train.loop import train as run

    experiment = find_experiment(name, settings)
    experiment = _with_options(experiment, epochs, batch_size, workers, precision, seed)
    if weights is not None and (from_scratch or resume):
        raise ConfigError(
            f"--weights {weights}: with --{'resume' if resume else 'from-scratch'} there are no "
            "weights to start from. Leave one of the two out."
        )
    if from_scratch:
        experiment = replace(
            experiment, model=experiment.model.from_scratch(), initial_weights=None
        )
    chosen_device = resolve_device(device)
    stopping = _parse_early_stopping(early_stopping)
    run_dir = _run_folder(name, out, resume)

    train_data = _open_training_data(data, images, split, classes)
    if proposals is not None:
        train_data = replace(train_data, proposals=read_proposals(proposals, train_data))
    if semantic_maps is not None:
        train_data = train_data.with_semantic_maps(semantic_maps)
    val_data = _open_validation_data(data, val, val_images, split, val_split, train_data)
    if val_proposals is not None and val_data is not None:
        val_data = replace(val_data, proposals=read_proposals(val_proposals, val_data))
    experiment = replace(experiment, class_names=train_data.class_names)
    model = _initial_model(experiment, weights, resume)

    result = run(
        experiment,
        model,
        train_data,
        val_data,
        run_dir,
        device=chosen_device,
        resume=resume,
        scale_learning_rate=lr_scaling,
        early_stopping=stopping,
        checkpoint_steps=checkpoint_steps,
        fused=fuse,
        resume_command=_resume_command(run_dir),
    )
    if is_first_process():
        _print_result(result, data)
    if result.interrupted:
        raise typer.Exit(130)


def _with_options(
    experiment: Experiment,
    epochs: int | None,
    batch_size: int | None,
    workers: int | None,
    precision: str | None,
    seed: int | None,
) -> Experiment:
    """The options that are short names of settings."""
    if epochs is not None:
        if not experiment.schedule.counts_epochs:
            raise ConfigError(
                f"--epochs {epochs}: this model's schedule counts iterations; give "
                "--set schedule.length=N, or a model that counts epochs."
            )
        experiment = experiment.stretched_to(epochs)
    data = experiment.data
    if batch_size is not None:
        data = replace(data, images_per_device=batch_size)
    if workers is not None:
        data = replace(data, workers=workers)
    experiment = replace(experiment, data=data)
    if precision is not None:
        from detzoo.devices import check_precision

        experiment = replace(experiment, precision=check_precision(precision))
    return experiment if seed is None else replace(experiment, seed=seed)


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


def _run_folder(name: str, out: Path | None, resume: bool) -> Path:
    """Where the run is, or is to be."""
    stem = Path(name).stem
    if out is None and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("--out: with several processes, give the folder that they share")
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


def _open_training_data(
    data: Path, images: Path | None, split: str, classes: str | None
) -> DetectionDataset:
    names = None if classes is None else [part.strip() for part in classes.split(",")]
    dataset = open_split(data, split, images, class_names=names)
    if is_first_process():
        print_dataset("train", dataset)
    return dataset


def _open_validation_data(
    data: Path,
    val: Path | None,
    val_images: Path | None,
    train_split: str,
    split: str | None,
    train_data: DetectionDataset,
) -> DetectionDataset | None:
    from detzoo.data.locate import available_splits

    # What is trained on is no test: after trainval, that is the split called test.
    own = ("test",) if train_split == "trainval" else ("val",)
    if val is None and data.is_dir():
        there = available_splits(data)
        split = split or next((name for name in own if name in there), None)
        val = data if split is not None else None
    if val is None:
        if is_first_process():
            print("val    none: nothing is evaluated, and only last.pt is written (give --val)")
        return None
    if split is None:
        there = available_splits(val) if val.is_dir() else ()
        split = next((name for name in ("val", "test", "train") if name in there), "val")
    dataset = open_split(
        val, split, val_images, class_names=train_data.class_names, allow_absent=True
    )
    if is_first_process():
        print_dataset("val  ", dataset)
    return dataset


def _initial_model(experiment: Experiment, weights: Path | None, resume: bool) -> Detector:
    """The detector with the weights that training starts from."""
    import torch

    from detzoo import zoo
    from detzoo.backbones.pretrained import find_pretrained
    from detzoo.backbones.timm import SCHEME
    from detzoo.checkpoints import checkpoint
    from detzoo.checkpoints.transfer import initialize, initialize_backbone
    from detzoo.inference.loading import find_published

    pretrained = experiment.model.backbone.pretrained_name
    source: Path | None = weights
    names: tuple[str, ...] | None = None
    if resume or weights is not None:
        pretrained = None
    elif experiment.initial_weights is not None:
        entry = zoo.find(experiment.initial_weights)
        source, names, pretrained = find_published(entry), entry.experiment.class_names, None
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
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
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


def _resume_command(run_dir: Path) -> str:
    """What the user types to go on."""
    command = ["detzoo"]
    if "LOCAL_WORLD_SIZE" in os.environ:
        processes = os.environ["LOCAL_WORLD_SIZE"]
        command = ["torchrun", "--nproc-per-node", processes, "-m", "detzoo"]
    replaced = ("--out", "--weights", "--resume")
    arguments = iter(sys.argv[1:])
    for argument in arguments:
        option, equals, _ = argument.partition("=")
        if option not in replaced:
            command.append(argument)
        elif option != "--resume" and not equals:
            next(arguments, None)  # its value
    return shlex.join([*command, "--out", str(run_dir), "--resume"])


def _print_result(result: TrainingResult, data: Path) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    if result.interrupted:
        return
    if result.metrics is not None:
        console.print(result.metrics.table())
    best = result.run_dir / ("best.pt" if (result.run_dir / "best.pt").exists() else "last.pt")
    console.print(f"done: {best}", soft_wrap=True)
    console.print(f"  detzoo test {best} --data {data}", soft_wrap=True)
    console.print(f"  detzoo predict {best} IMAGES --out predictions", soft_wrap=True)
