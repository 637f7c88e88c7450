"""``detzoo test``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detzoo.cli.common import (
    BatchSize,
    Compile,
    Device,
    Fuse,
    IgnoreExif,
    Images,
    Imports,
    JsonFile,
    MissingMasks,
    Precision,
    SkipBroken,
    TestSplit,
    Trust,
    TtaFlip,
    TtaScales,
    Weights,
    Workers,
    check_data,
    check_folder,
    check_source,
    print_broken,
    print_dataset,
    print_overflow,
    with_tta,
)
from detzoo.cli.data_to_test import (
    check_stuff,
    check_unscored,
    division_of,
    open_annotated,
    open_image_list,
)
from detzoo.cli.detecting import detect_with_progress, draw_results, fit_data, save_segments
from detzoo.cli.launch import Devices, launch
from detzoo.cli.own_data import own_test_data
from detzoo.cli.slurm import Slurm, submit
from detzoo.errors import ConfigError
from detzoo.files import check_output, write_json

if TYPE_CHECKING:
    from detzoo.detectors.base import DetectorConfig

METRICS = ("coco", "lvis", "openimages", "voc", "voc07", "cityscapes", "panoptic")


def measure(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT_OR_NAME", help="A checkpoint (MMDetection's too), or a zoo name."
        ),
    ],
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="A data set: a folder, or its annotation file (COCO, YOLO, VOC, ...); repeat to "
            "join several by class name. Default: those that a V2 config file names.",
            show_default=False,
        ),
    ] = None,
    image_list: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="In place of --data: images without annotations, in COCO's format, such as "
            "image_info_test-dev2017.json. Nothing is scored; give --save-detections or "
            "--save-panoptic.",
        ),
    ] = None,
    categories: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With --image-list: an annotation file with the ids of categories that the "
            "results get, such as panoptic_val2017.json. Default: those of the list.",
        ),
    ] = None,
    images: Images = None,
    split: TestSplit = None,
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
    weights: Weights = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="coco, lvis, openimages, voc, voc07 (11 points), cityscapes or panoptic. Default: "
            "the model's, or what fits the data."
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
    save_panoptic: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write a panoptic model's segments in COCO's panoptic format."
        ),
    ] = None,
    draw: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write a picture of each image: its objects, and beside them the detections with "
            "a score of at least 0.3.",
        ),
    ] = None,
    worst: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="With --draw: only the N images with the most errors, in this order, at the score "
            "with the best F1.",
            show_default=False,
        ),
    ] = None,
    tta_scales: TtaScales = None,
    tta_flip: TtaFlip = False,
    batch_size: BatchSize = 1,
    workers: Workers = 2,
    precision: Precision = None,
    fuse: Fuse = True,
    compile_model: Compile = False,
    device: Device = None,
    devices: Devices = None,
    slurm: Slurm = None,
    imports: Imports = None,
    trust: Trust = False,
) -> None:
    """Evaluate a model on data. Classes are matched by name; objects of other classes are left out.

    Examples:

      detzoo test runs/x-1/best.pt --data my_data

      detzoo test runs/x-1/best.pt --data my_data --split test --per-class --json metrics.json

      detzoo test retinanet_r50_fpn_1x_coco --weights retinanet.pth --data coco

      detzoo test rpn_r50_fpn_1x_coco --data coco --save-proposals proposals.json

      detzoo test runs/x-1/best.pt --data my_data --draw drawn --worst 30

      detzoo test runs/x-1/best.pt --data my_data --devices 4

      detzoo test mask_rcnn_r50_fpn_1x_coco --image-list image_info_test-dev2017.json
      --save-detections found.json
    """
    if metric is not None and metric not in METRICS:
        raise ConfigError(f"--metric {metric}: is not one of {', '.join(METRICS)}")
    check_source(source, weights)
    if image_list is not None:
        check_unscored(context.params, image_list, save_detections or save_panoptic)
        check_data(image_list, categories)
        data = [image_list]
    elif categories is not None:
        raise ConfigError(f"--categories {categories}: needs --image-list FILE, or leave it out")
    if not data:
        data, images, split, proposals = own_test_data(source, images, split, proposals, trust)
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
        ("--save-panoptic", save_panoptic),
    ):
        if path is not None:
            check_output(path, option)
    if worst is not None and draw is None:
        raise ConfigError(f"--worst {worst}: needs --draw DIR, a folder for the pictures")
    check_folder(draw, "--draw")
    submit(slurm, devices, on_gpus=device != "cpu")
    launch(devices)

    from rich.console import Console

    from detzoo.analyze import Album
    from detzoo.data.proposals import write_proposals
    from detzoo.devices import check_precision, resolve_device
    from detzoo.evaluate import default_evaluators, score, write_results
    from detzoo.evaluate.ground_truth import GroundTruth
    from detzoo.inference.compiled import compile_detector
    from detzoo.inference.loading import load
    from detzoo.train.distributed import join_processes

    chosen = None if precision is None else check_precision(precision)
    if image_list is not None:
        opened = open_image_list(image_list, images, categories)
    else:
        division = division_of(source) if held_out else None
        opened = open_annotated(
            source,
            data,
            images or (),
            split or "val",
            division,
            proposals,
            skip_broken=skip_broken,
            ignore_exif=ignore_exif,
        )
    dataset = opened.dataset
    fuse = fuse and not compile_model  # the compiler fuses layers, too
    # Those that torchrun started share the images, and the first of them writes and prints.
    processes = context.with_resource(join_processes(resolve_device(device)))
    predictor = load(source, weights, processes.device, chosen, fused=fuse, trust=trust)
    if compile_model:
        predictor.model = compile_detector(predictor.model)
    experiment = with_tta(predictor.experiment, tta_scales, tta_flip)
    _check_outputs(source, experiment.model, save_proposals, save_panoptic, draw)
    if save_panoptic is not None and image_list is not None:
        check_stuff(save_panoptic, opened, categories or image_list)
    dataset = fit_data(dataset, predictor, source)
    if processes.is_first:
        print_dataset("test", dataset)
    if processes.is_first and precision is None and predictor.precision != "fp32":
        print(f"computing in {predictor.precision}, as its training did (or give --precision fp32)")
    ground_truth = GroundTruth.of(dataset)
    evaluators = []
    if image_list is None:
        evaluators = default_evaluators(
            ground_truth,
            predictor.class_names,
            predicts_masks=experiment.model.predicts_masks,
            is_class_agnostic=experiment.model.is_class_agnostic,
            metric=metric or experiment.data.metric,  # type: ignore[arg-type]
            missing_masks=missing_masks,
            stuff_names=experiment.panoptic_stuff,
        )
    results = detect_with_progress(
        predictor,
        experiment,
        dataset,
        batch_size=batch_size,
        workers=workers,
        fused=fuse,
        processes=processes,
    )
    print_overflow(predictor.model)
    metrics = score(evaluators, results) if evaluators else None
    if not processes.is_first:
        return
    if save_detections is not None:
        write_results(save_detections, results, ground_truth.category_ids_of(predictor.class_names))
    if draw is not None:
        album = Album(dataset, results, ground_truth.image_ids, predictor.class_names)
        draw_results(draw, album, ground_truth, worst)
    if save_panoptic is not None:
        save_segments(save_panoptic, results, dataset, experiment, opened.stuff_ids)
    if save_proposals is not None:
        write_proposals(save_proposals, {one.image_id: one.to_proposals() for one in results})
    if metrics is None:
        print(f"nothing is scored: {image_list} has no annotations")
        return
    Console(highlight=False, emoji=False).print(metrics.table(per_class=per_class))
    if json_file is not None:
        write_json(json_file, metrics.to_json())
    if opened.broken:
        print_broken(opened.broken)
        raise typer.Exit(1)


def _check_outputs(
    source: str,
    model: DetectorConfig,
    save_proposals: Path | None,
    save_panoptic: Path | None,
    draw: Path | None,
) -> None:
    """Raises :class:`ConfigError` for results that such a model does not have."""
    if save_proposals is not None and not model.is_class_agnostic:
        raise ConfigError(
            f"--save-proposals {save_proposals}: {source} detects objects instead of "
            "proposing regions; use a model of the rpn family."
        )
    if save_panoptic is not None and not model.predicts_panoptic:
        raise ConfigError(
            f"--save-panoptic {save_panoptic}: {source} finds objects instead of segmenting the "
            "whole image; use a panoptic model (detzoo models panoptic)."
        )
    if draw is not None and model.is_class_agnostic:
        raise ConfigError(
            f"--draw {draw}: {source} proposes regions instead of detecting objects; leave it out."
        )
