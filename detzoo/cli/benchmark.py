"""``detzoo benchmark``: the speed of inference, training and data loading."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from detzoo.cli.common import (
    Device,
    Imports,
    JsonFile,
    Precision,
    Settings,
    Trust,
    check_source,
    find_experiment,
    open_split,
    wide_console,
)
from detzoo.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from detzoo.benchmark.inference import InferenceResult, Subject
    from detzoo.benchmark.training import TrainingFigures
    from detzoo.data.dataset import DetectionDataset
    from detzoo.detectors.base import Detector
    from detzoo.experiment import Experiment

benchmark = typer.Typer(
    no_args_is_help=True, help="Measure inference, training and loading.", rich_markup_mode="rich"
)


@benchmark.command("inference")
def inference(
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME...", help="Models, checkpoints or V2 config files."),
    ],
    weights: Annotated[
        str | None, typer.Option(help="Weights for a single NAME. Default: random weights.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder of images. Default: random 640x480 images.")
    ] = None,
    num_images: Annotated[int, typer.Option(min=1, help="Images to measure.")] = 2000,
    warmup: Annotated[int, typer.Option(min=0, help="Warmup batches that are not measured.")] = 5,
    log_interval: Annotated[
        int, typer.Option(min=1, help="Images between printed running averages.")
    ] = 50,
    batch_size: Annotated[int, typer.Option(min=1, help="Images per batch.")] = 1,
    precision: Precision = None,
    fuse_conv_bn: Annotated[
        bool,
        typer.Option(
            "--fuse-conv-bn/--no-fuse-conv-bn",
            help="Fuse convolutions with the layers that follow them.",
        ),
    ] = True,
    channels_last: Annotated[
        bool,
        typer.Option("--channels-last/--no-channels-last", help="Memory layout of feature maps."),
    ] = True,
    compile_model: Annotated[
        bool, typer.Option("--compile", help="Compile backbone and neck (torch.compile).")
    ] = False,
    settings: Settings = None,
    imports: Imports = None,
    trust: Trust = False,
    device: Device = None,
    json_file: JsonFile = None,
) -> None:
    """Measure inference as MMDetection does: forward pass and postprocessing, image by image.

    Loading images is timed separately, and the first 5 images are not counted. Several models are
    measured alternately, image by image. The weights affect speed only through the number of
    detections.

    Examples:

      detzoo benchmark inference faster_rcnn_r50_fpn_1x_coco --num-images 50

      detzoo benchmark inference retinanet_r50_fpn_1x_coco fcos_r50_caffe_fpn_gn-head_1x_coco
      --images val2017 --precision bf16 --json speed.json
    """
    for name in names:
        check_source(name)
    import torch

    from detzoo.benchmark.inference import InferenceOptions, measure_inference
    from detzoo.benchmark.machine import describe_machine
    from detzoo.devices import check_precision, resolve_device
    from detzoo.files import write_json
    from detzoo.inference.inputs import find_files

    computes_in = check_precision(precision or "fp32")
    if len(set(names)) < len(names):
        raise ConfigError(f"{' '.join(names)}: contains the same model twice")
    if weights is not None and len(names) > 1:
        raise ConfigError(f"--weights {weights}: works only with a single model")
    chosen = resolve_device(device)
    torch.manual_seed(0)
    subjects = [_subject(name, weights, settings, chosen, trust) for name in names]
    files = [] if images is None else find_files(images)
    options = InferenceOptions(
        num_images=num_images,
        warmup=warmup,
        batch_size=batch_size,
        precision=computes_in,
        channels_last=channels_last,
        compiled=compile_model,
        fused=fuse_conv_bn,
    )
    last_shown = 0

    def show(done: int, running: dict[str, float]) -> None:
        nonlocal last_shown
        if done - last_shown >= log_interval:
            last_shown = done
            figures = "  ".join(f"{n} {1 / s:.2f} img/s" for n, s in running.items())
            print(f"{done}/{num_images}  {figures}", flush=True)

    results = measure_inference(subjects, files, options, show)
    _print_inference(results)
    if json_file is not None:
        settings_used = {
            "num_images": num_images,
            "warmup": warmup,
            "batch_size": batch_size,
            "precision": computes_in,
            "fuse_conv_bn": fuse_conv_bn,
            "channels_last": channels_last,
            "compile": compile_model,
            "images": None if images is None else str(images),
        }
        content = {
            "what": "inference",
            "machine": describe_machine(chosen),
            "settings": settings_used,
            "models": [
                {
                    "name": result.name,
                    "images_per_second": result.images_per_second,
                    "seconds": result.seconds.to_json(),
                    "loading_seconds": result.loading.to_json(),
                    "detections_per_image": result.detections,
                    "memory_gb": result.memory_gb,
                }
                for result in results
            ],
        }
        write_json(json_file, content)


@benchmark.command("training")
def training(
    name: Annotated[str, typer.Argument(help="A model, a checkpoint or a V2 config file.")],
    data: Annotated[Path, typer.Option(help="A data set: a folder, or its annotation file.")],
    images: Annotated[
        Path | None, typer.Option(help="Image folder, where --data is an annotation file.")
    ] = None,
    steps: Annotated[int, typer.Option(min=2, help="Total number of steps.")] = 500,
    skip: Annotated[int, typer.Option(min=1, help="Initial steps that are not measured.")] = 100,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Images per step on each device.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=0, help="Processes that load images.")] = None,
    precision: Annotated[str | None, typer.Option(help="fp32, bf16 or fp16.")] = None,
    settings: Settings = None,
    imports: Imports = None,
    trust: Trust = False,
    device: Device = None,
    json_file: JsonFile = None,
) -> None:
    """Measure training as MMDetection does: images per second over steps 100 to 500.

    Also reports the time of each phase of a step, and the peak memory over all processes. Starts
    from random weights, regardless of the recipe. Works with torchrun.

    Examples:

      detzoo benchmark training faster_rcnn_r50_fpn_1x_coco --data coco

      detzoo benchmark training retinanet_r50_fpn_1x_coco --data coco --steps 30 --skip 5

      torchrun --nproc-per-node 8 -m detzoo benchmark training mask_rcnn_r50_fpn_1x_coco --data coco
    """
    check_source(name)
    from detzoo.benchmark.machine import describe_machine
    from detzoo.benchmark.training import measure_training
    from detzoo.devices import resolve_device
    from detzoo.files import write_json
    from detzoo.train.distributed import join_processes

    if skip >= steps:
        raise ConfigError(f"--skip {skip}: leaves none of the {steps} steps to be measured")
    experiment, dataset, model = _training_setup(
        name, data, images, settings, batch_size, workers, precision, trust
    )
    with join_processes(resolve_device(device)) as processes:

        def show(done: int) -> None:
            if processes.is_first and done % 50 == 0:
                print(f"{done}/{steps}", flush=True)

        figures = measure_training(
            name, experiment, model, dataset, processes, first=skip, last=steps, progress=show
        )
        if processes.is_first:
            _print_training(figures)
            if json_file is not None:
                content = {
                    "what": "training",
                    "machine": describe_machine(processes.device),
                    "settings": {
                        "batch_size": experiment.data.images_per_device,
                        "precision": experiment.precision,
                        "workers": experiment.data.workers,
                        "first": skip,
                        "last": steps,
                        "processes": figures.processes,
                    },
                    "models": [
                        {
                            "name": name,
                            "images_per_second": figures.images_per_second,
                            "seconds": figures.seconds.to_json(),
                            "phases": figures.phases,
                            "memory_gb": figures.memory_gb,
                        }
                    ],
                }
                write_json(json_file, content)


@benchmark.command("loader")
def loader(
    name: Annotated[str, typer.Argument(help="The model whose data pipeline to measure.")],
    data: Annotated[Path, typer.Option(help="A data set: a folder, or its annotation file.")],
    images: Annotated[
        Path | None, typer.Option(help="Image folder, where --data is an annotation file.")
    ] = None,
    num_images: Annotated[
        int, typer.Option(min=1, help="Images for timing the pipeline steps.")
    ] = 100,
    batches: Annotated[int, typer.Option(min=1, help="Batches for timing the whole loader.")] = 50,
    model_steps: Annotated[
        int, typer.Option(min=0, help="Training steps for comparison; 0: no comparison.")
    ] = 5,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Images per step on each device.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=0, help="Processes that load images.")] = None,
    settings: Settings = None,
    imports: Imports = None,
    trust: Trust = False,
    device: Device = None,
    json_file: JsonFile = None,
) -> None:
    """Measure data loading: the steps of the pipeline, the whole loader, and the bottleneck.

    Examples:

      detzoo benchmark loader faster_rcnn_r50_fpn_1x_coco --data coco --workers 4

      detzoo benchmark loader yolox_s_8x8_300e_coco --data my_data --model-steps 0
    """
    check_source(name)
    from detzoo.benchmark.loading import measure_loader, measure_steps
    from detzoo.benchmark.machine import describe_machine
    from detzoo.benchmark.training import measure_training
    from detzoo.devices import resolve_device
    from detzoo.files import write_json
    from detzoo.train.data import open_loader, usable_data
    from detzoo.train.distributed import join_processes

    experiment, dataset, model = _training_setup(
        name, data, images, settings, batch_size, workers, None, trust
    )
    steps = measure_steps(dataset, experiment, num_images)
    trained = None
    with join_processes(resolve_device(device)) as processes:
        source = open_loader(experiment, usable_data(experiment, dataset), processes)
        delivered = measure_loader(source, batches)
        source.close()
        if model_steps:
            figures = measure_training(
                name, experiment, model, dataset, processes, first=1, last=model_steps + 1
            )
            busy = sum(value for phase, value in figures.phases.items() if phase != "data")
            trained = experiment.data.images_per_device / busy
        machine = describe_machine(processes.device)
    _print_loading(steps, delivered, trained, experiment.data.workers)
    if json_file is not None:
        content = {
            "what": "loader",
            "machine": machine,
            "settings": {"workers": experiment.data.workers, "name": name},
            "steps": {step: spread.to_json() for step, spread in steps.items()},
            "images_per_second": delivered,
            "model_images_per_second": trained,
        }
        write_json(json_file, content)


# ---------------------------------------------------------------------------------- internals


def _subject(
    name: str,
    weights: str | None,
    settings: Sequence[str] | None,
    device: torch.device,
    trust: bool,
) -> Subject:
    """Builds the model ``name``, with the checkpoint's weights if it is one, else random ones."""
    from detzoo.benchmark.inference import Subject
    from detzoo.inference.loading import is_checkpoint_path, load

    if (weights is not None or is_checkpoint_path(name)) and not settings:
        predictor = load(name, weights, device, fused=False, trust=trust)
        return Subject(name, predictor.model, predictor.experiment.data.test_transforms)
    if weights is not None:
        raise ConfigError(
            "--set: cannot be combined with --weights, which may not fit the changed model"
        )
    experiment = find_experiment(name, settings, trust=trust)
    model = experiment.build_model().to(device)
    return Subject(name, model, experiment.data.test_transforms)


def _training_setup(
    name: str,
    data: Path,
    images: Path | None,
    settings: Sequence[str] | None,
    batch_size: int | None,
    workers: int | None,
    precision: str | None,
    trust: bool,
) -> tuple[Experiment, DetectionDataset, Detector]:
    """Returns the experiment with the data's classes, the data, and a model with random weights."""
    from dataclasses import replace

    import torch

    from detzoo.devices import check_precision

    experiment = find_experiment(name, settings, trust=trust, to_train=True)
    if precision is not None:
        experiment = replace(experiment, precision=check_precision(precision))
    changes: dict[str, Any] = {}
    if batch_size is not None:
        changes["images_per_device"] = batch_size
    if workers is not None:
        changes["workers"] = workers
    experiment = replace(experiment, data=replace(experiment.data, **changes))
    dataset = open_split(data, "train", images)
    experiment = experiment.for_data(dataset)
    torch.manual_seed(experiment.seed)
    return experiment, dataset, experiment.build_model()


def _print_inference(results: Sequence[InferenceResult]) -> None:
    from rich.table import Table

    table = Table("model", "img/s", "ms", "10 %", "90 %", "loading ms", "objects", "GB", box=None)
    table.columns[0].no_wrap = True
    for column in table.columns[1:]:
        column.justify = "right"
    for result in results:
        seconds = result.seconds
        table.add_row(
            result.name,
            f"{result.images_per_second:.2f}",
            *(f"{1000 * value:.1f}" for value in (seconds.median, seconds.low, seconds.high)),
            f"{1000 * result.loading.median:.1f}",
            f"{result.detections:.1f}",
            f"{result.memory_gb:.2f}",
        )
    wide_console().print(table)


def _print_training(figures: TrainingFigures) -> None:
    seconds = figures.seconds
    print(
        f"{figures.name}: {figures.images_per_second:.2f} images/s on {figures.processes} "
        f"process{'es' if figures.processes > 1 else ''}; step {seconds.median:.3f} s "
        f"({seconds.low:.3f} to {seconds.high:.3f}); memory {figures.memory_gb:.2f} GB"
    )
    whole = sum(figures.phases.values())
    for phase, value in figures.phases.items():
        print(f"  {phase:10} {1000 * value:9.1f} ms  {100 * value / whole:5.1f} %")


def _print_loading(
    steps: dict[str, Any], delivered: float, trained: float | None, workers: int
) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("step", "img/s", "ms", "10 %", "90 %", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, spread in steps.items():
        times = (spread.median, spread.low, spread.high)
        rate = 1 / spread.median if spread.median else float("inf")
        table.add_row(name, f"{rate:.0f}", *(f"{1000 * value:.2f}" for value in times))
    console = Console(highlight=False)
    console.print(table)
    console.print(f"whole loader with {workers} workers: {delivered:.1f} images/s")
    if trained is not None:
        slower = "the loader: use more workers" if delivered < trained else "the model"
        console.print(f"the model trains at {trained:.1f} images/s; the bottleneck is {slower}")
