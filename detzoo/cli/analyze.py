"""``detzoo analyze``: a report on what a detector gets right and wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from detzoo.cli.common import (
    BatchSize,
    DataSets,
    Device,
    Images,
    Imports,
    Precision,
    TestSplit,
    Trust,
    Weights,
    Workers,
    check_data,
    check_folder,
    check_source,
    open_sets,
    plain_console,
    print_dataset,
)
from detzoo.errors import ConfigError


def analyze(
    source: Annotated[
        str,
        typer.Argument(
            metavar="DETECTIONS|CHECKPOINT",
            help="Detections in COCO result format (a .json file), a checkpoint, or a zoo name.",
        ),
    ],
    data: DataSets,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of the report.")],
    images: Images = None,
    split: TestSplit = None,
    kind: Annotated[
        str | None,
        typer.Option("--type", help="bbox or segm. Default: masks if the detections have them."),
    ] = None,
    resamples: Annotated[
        int, typer.Option(min=10, help="Resamples of the images for confidence intervals.")
    ] = 300,
    weights: Weights = None,
    pictures: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="Show images on the page.")
    ] = True,
    store_thresholds: Annotated[
        bool,
        typer.Option(
            "--store-thresholds",
            help="Write the best threshold of each class into the checkpoint, for detzoo predict "
            "--min-score auto.",
        ),
    ] = False,
    batch_size: BatchSize = 1,
    workers: Workers = 2,
    precision: Precision = None,
    device: Device = None,
    imports: Imports = None,
    trust: Trust = False,
) -> None:
    """Write a report on what a detector gets right and wrong.

    The folder has a page (index.html), its tables as CSV and JSON, and its charts as SVG and PNG:
    metrics with confidence intervals, thresholds per class, TIDE's errors, confusions, recall by
    kinds of objects, calibration, the worst images, and annotations that are perhaps wrong.

    Examples:

      detzoo analyze runs/x-1/best.pt --data my_data -o report

      detzoo analyze detections.json --data annotations.json --images photos -o report
    """
    check_folder(out)
    check_data(*data, *(images or ()))
    if kind not in (None, "bbox", "segm"):
        raise ConfigError(f"--type {kind}: is not one of bbox, segm")
    if source.endswith(".json"):
        check_data(Path(source))
    else:
        check_source(source, weights)

    from detzoo.checkpoints import checkpoint
    from detzoo.weights.places import checkpoint_of_run

    own_file = checkpoint_of_run(source)
    if store_thresholds:
        _require_own(own_file)
    from detzoo.analyze import Album, write_report
    from detzoo.analyze import analyze as run
    from detzoo.cli.detecting import detections_of
    from detzoo.data.union import union

    sets, _ = open_sets(data, images or (), split or "val")
    found = detections_of(
        source,
        union(sets),
        weights=weights,
        precision=precision,
        device=device,
        batch_size=batch_size,
        workers=workers,
        trust=trust,
    )
    dataset, truth, results = found.dataset, found.truth, found.results
    print_dataset("data", dataset)
    has_masks = truth.has_masks and any(result.masks is not None for result in results)
    chosen: Literal["bbox", "segm"] = "segm" if has_masks else "bbox"
    if kind is not None:
        chosen = "segm" if kind == "segm" else "bbox"
    analysis = run(truth, results, found.class_names, kind=chosen, resamples=resamples)
    album = Album(dataset, results, truth.image_ids, found.class_names) if pictures else None
    facts = [
        f"detections: {source}",
        f"data: {dataset.source}, {len(dataset)} images, {len(analysis.matches.objects)} objects",
        f"{'masks' if chosen == 'segm' else 'boxes'}; confidence intervals from {resamples} "
        "resamples",
    ]
    page = write_report(analysis, out, f"Analysis of {Path(source).name}", facts, album)
    console = plain_console()
    for name, one in analysis.metrics.items():
        console.print(f"{name:5} {one.value:.3f}  ({one.low:.3f} to {one.high:.3f})")
    console.print(f"best threshold {analysis.threshold:.3f}")
    if store_thresholds:
        own = checkpoint.read(own_file)
        checkpoint.save(own_file, replace(own, thresholds=analysis.thresholds))
        console.print(f"stored {len(analysis.thresholds)} thresholds in {own_file}", soft_wrap=True)
    console.print(f"report: {page}", soft_wrap=True)


def _require_own(source: Path) -> None:
    """Raises :class:`ConfigError` where nothing can be stored."""
    from detzoo.checkpoints.checkpoint import is_ours
    from detzoo.weights.files import read_file

    if source.suffix != ".pt" or not is_ours(read_file(source)):
        raise ConfigError(
            f"--store-thresholds: {source} is not a checkpoint that detzoo wrote (.pt). Make "
            "one with detzoo import-mmdet CONFIG --checkpoint FILE -o OUT.pt."
        )
