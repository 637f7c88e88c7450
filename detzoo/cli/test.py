"""``detzoo test``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detzoo.cli.common import (
    Device,
    Fuse,
    IgnoreExif,
    Imports,
    JsonFile,
    MissingMasks,
    Precision,
    SkipBroken,
    Trust,
    TtaFlip,
    TtaScales,
    check_data,
    check_source,
    open_sets,
    print_broken,
    print_dataset,
    with_tta,
)
from detzoo.cli.run_data import held_out_of
from detzoo.errors import CheckpointError, ConfigError
from detzoo.files import check_output, write_json

if TYPE_CHECKING:
    from detzoo.data.dataset import DetectionDataset
    from detzoo.data.hold_out import Division
    from detzoo.inference.predictor import Predictor

METRICS = ("coco", "lvis", "voc", "voc07", "cityscapes")


def measure(
    source: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT_OR_NAME", help="A checkpoint (MMDetection's too), or a zoo name."
        ),
    ],
    data: Annotated[
        list[Path],
        typer.Option(
            help="Data set folder (COCO, LVIS, VOC, ...), or a COCO JSON; repeat to join "
            "several by class name."
        ),
    ],
    images: Annotated[
        list[Path] | None,
        typer.Option(
            help="Image folder, where --data is an annotation file; one for all, or one for each.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Which split of the folder. Default: val.")
    ] = None,
    held_out: Annotated[
        bool,
        typer.Option(
            "--held-out",
            help="Test on the images of --data that training held out, as recorded in the "
            "checkpoint.",
        ),
    ] = False,
    skip_broken: SkipBroken = False,
    ignore_exif: IgnoreExif = False,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Weights for a zoo name or a V2 config file. Default: the published ones."
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="coco, lvis, voc, voc07 (11 points) or cityscapes. Default: the model's, or what "
            "fits the data."
        ),
    ] = None,
    missing_masks: MissingMasks = "ignore",
    per_class: Annotated[bool, typer.Option("--per-class", help="Add a table per class.")] = False,
    json_file: JsonFile = None,
    proposals: Annotated[
        Path | None,
        typer.Option(help="Regions for models that do not propose their own (Fast R-CNN)."),
    ] = None,
    save_proposals: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the proposals, for models that need them."),
    ] = None,
    save_detections: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write detections in COCO result format.")
    ] = None,
    tta_scales: TtaScales = None,
    tta_flip: TtaFlip = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Images per batch.")] = 1,
    workers: Annotated[int, typer.Option(min=0, help="Processes that load images.")] = 2,
    precision: Precision = None,
    fuse: Fuse = True,
    device: Device = None,
    imports: Imports = None,
    trust: Trust = False,
) -> None:
    """Evaluate a model on data. Classes are matched by name; objects of other classes are left out.

    Examples:

      detzoo test runs/x-1/best.pt --data my_data

      detzoo test runs/x-1/best.pt --data my_data --split test --per-class --json metrics.json

      detzoo test retinanet_r50_fpn_1x_coco --weights retinanet.pth --data coco

      detzoo test rpn_r50_fpn_1x_coco --data coco --save-proposals proposals.json
    """
    if metric is not None and metric not in METRICS:
        raise ConfigError(f"--metric {metric}: is not one of {', '.join(METRICS)}")
    check_source(source, weights)
    check_data(*data, *(images or ()), proposals)
    if held_out and split is not None:
        raise ConfigError(
            f"--split {split}: cannot be combined with --held-out, which uses the checkpoint's. "
            "Remove it"
        )
    for option, path in (
        ("--json", json_file),
        ("--save-proposals", save_proposals),
        ("--save-detections", save_detections),
    ):
        if path is not None:
            check_output(path, option)

    from rich.console import Console
    from rich.progress import Progress

    from detzoo.data.loader import build_loader
    from detzoo.data.proposals import read_proposals, write_proposals
    from detzoo.data.union import union
    from detzoo.devices import check_precision
    from detzoo.evaluate import default_evaluators, detect, score, write_results
    from detzoo.evaluate.ground_truth import GroundTruth
    from detzoo.inference.loading import load

    chosen = None if precision is None else check_precision(precision)
    division = _division_of(source) if held_out else None
    sets, broken = open_sets(
        data,
        images or (),
        division.split if division else split or "val",
        skip_broken=skip_broken,
        ignore_exif=ignore_exif,
    )
    dataset = union(sets)
    if proposals is not None:
        dataset = replace(dataset, proposals=read_proposals(proposals, dataset))
    if division is not None:
        dataset = held_out_of(dataset, sets, division, source)
    predictor = load(source, weights, device, chosen, fused=fuse, trust=trust)
    experiment = with_tta(predictor.experiment, tta_scales, tta_flip)
    if save_proposals is not None and not experiment.model.is_class_agnostic:
        raise ConfigError(
            f"--save-proposals {save_proposals}: {source} detects objects instead of "
            "proposing regions; use a model of the rpn family."
        )
    dataset = _match_classes(dataset, predictor, source)
    experiment.check_needs(dataset, training=False)
    dataset = dataset.with_channels(experiment.model.input_pixels.channels)
    print_dataset("test", dataset)
    if precision is None and predictor.precision != "fp32":
        print(f"precision {predictor.precision}, as in training (or give --precision fp32)")
    loaders = [
        build_loader(
            dataset,
            transforms,
            images_per_device=min(batch_size, len(dataset)) if len(dataset) else 1,
            workers=workers,
            training=False,
            max_proposals=experiment.data.test_proposals,
        )
        for transforms in experiment.data.tta.pipelines(experiment.data.test_transforms)
    ]
    ground_truth = GroundTruth.of(dataset)
    evaluators = default_evaluators(
        ground_truth,
        predictor.class_names,
        predicts_masks=experiment.model.predicts_masks,
        is_class_agnostic=experiment.model.is_class_agnostic,
        metric=metric or experiment.data.metric,  # type: ignore[arg-type]
        missing_masks=missing_masks,
    )
    with Progress(transient=True) as progress:
        task = progress.add_task("detecting", total=len(dataset))
        results = detect(
            predictor.model,
            *loaders,
            precision=predictor.precision,
            fused=fuse,
            progress=lambda count: progress.advance(task, count),
        )
    metrics = score(evaluators, results)
    if save_detections is not None:
        write_results(save_detections, results, ground_truth.category_ids_of(predictor.class_names))
    if save_proposals is not None:
        write_proposals(save_proposals, {one.image_id: one.to_proposals() for one in results})
    Console(highlight=False, emoji=False).print(metrics.table(per_class=per_class))
    if json_file is not None:
        write_json(json_file, metrics.to_json())
    if broken:
        print_broken(broken)
        raise typer.Exit(1)


def _division_of(source: str) -> Division:
    """Reads from a checkpoint which images its training held out."""
    from detzoo.checkpoints import checkpoint
    from detzoo.inference.loading import is_checkpoint_path

    division = checkpoint.read(source).division if is_checkpoint_path(source) else None
    if division is None:
        raise ConfigError(
            f"--held-out: {source} does not record which images were held out; only checkpoints "
            "that detzoo train wrote with --val-fraction or --fold, or by default, do. Give "
            "--split."
        )
    return division


def _match_classes(
    dataset: DetectionDataset, predictor: Predictor, source: str
) -> DetectionDataset:
    """Maps the data to the detector's classes; unchanged if the detector has no class names."""
    if predictor.experiment.model.is_class_agnostic:
        return dataset
    if not set(predictor.class_names) & set(dataset.class_names):
        raise CheckpointError(
            f"{source}: has none of the classes of {dataset.source} "
            f"({_listed(dataset.class_names)}); it has {_listed(predictor.class_names)}."
        )
    return dataset.select_classes(predictor.class_names, drop_others=True, allow_absent=True)


def _listed(names: list[str] | tuple[str, ...]) -> str:
    shown = ", ".join(repr(name) for name in names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"
