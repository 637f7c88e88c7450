"""``detzoo evaluate``: scores detections from any source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from detzoo.cli.common import MissingMasks, check_data, note_on_masks
from detzoo.errors import ConfigError
from detzoo.files import check_output, read_json, write_json

if TYPE_CHECKING:
    from detzoo.evaluate import AreaRange, Evaluator, GroundTruth, ImageResult


_MAX_DETECTIONS = "1,10,100"
_AREAS = "s:0:1024,m:1024:9216,l:9216:1e10"
# Those that need no more than detections of objects; COCO's has options of its own.
_METRICS = ("coco", "lvis", "openimages", "voc", "voc07", "cityscapes")


def evaluate(
    detections: Annotated[
        Path,
        typer.Argument(
            help="Detections in COCO result format: a JSON list; or panoptic results in COCO's "
            "format: a JSON file, and a folder of PNG files that is called like it."
        ),
    ],
    annotations: Annotated[
        Path,
        typer.Argument(
            help="COCO annotations of the same images, without which the image files are not "
            "needed; or a data set in any format: its annotation file, or a folder (its val)."
        ),
    ],
    metric: Annotated[
        str | None,
        typer.Option(
            help="coco, lvis, openimages, voc, voc07 (11 points) or cityscapes. Default: that of "
            "Open Images for its data, otherwise COCO's."
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--type", help="bbox or segm. Default: boxes, and masks if the detections have them."
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,C",
            help="Evaluate only these classes, such as those that a model was trained on. "
            "Default: all.",
        ),
    ] = None,
    recall_of: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Also the recall of the masks in this file: occluded_coco.pkl or "
            "separated_coco.pkl; repeat for both.",
            show_default=False,
        ),
    ] = None,
    missing_masks: MissingMasks = "ignore",
    per_class: Annotated[bool, typer.Option("--per-class", help="Add a table per class.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the metrics to this file.")
    ] = None,
    max_detections: Annotated[
        str, typer.Option(help="Maximum detections per image and class; AP uses the largest.")
    ] = _MAX_DETECTIONS,
    areas: Annotated[
        str, typer.Option(help="Area ranges to score separately: name:low:high in square pixels.")
    ] = _AREAS,
) -> None:
    """Compute metrics of detections from any source: COCO's by default.

    Images and categories are matched by id; those of coco.json, which detzoo predict --save coco
    writes, by name. Panoptic results get panoptic quality.

    Examples:

      detzoo evaluate detections.json annotations/instances_val2017.json

      detzoo evaluate masks.json instances.json --type segm --per-class --json metrics.json

      detzoo evaluate masks.json instances_val2017.json --recall-of occluded_coco.pkl

      detzoo evaluate panoptic.json annotations/panoptic_val2017.json
    """
    if json_file is not None:
        check_output(json_file, "--json")
    check_data(detections, annotations, *(recall_of or ()))
    if metric is not None and metric not in _METRICS:
        raise ConfigError(f"--metric {metric}: is not one of {', '.join(_METRICS)}")
    if kind not in (None, "bbox", "segm"):
        raise ConfigError(f"--type {kind}: is not one of bbox, segm")
    numbers, ranges = _parse_numbers(max_detections), _parse_areas(areas)
    of_coco = {
        "--type": kind is not None,
        "--max-detections": max_detections != _MAX_DETECTIONS,
        "--areas": areas != _AREAS,
    }
    chosen = next((option for option, is_given in of_coco.items() if is_given), None)

    # Imported here so that `detzoo --help` is instant.
    from detzoo.evaluate import CocoEvaluator, default_evaluators, read_results, score
    from detzoo.evaluate.listed_masks import read_listed_masks, recall_of_masks

    if _is_panoptic(detections):
        if metric is not None or chosen is not None or recall_of:
            option = "--metric" if metric is not None else chosen or "--recall-of"
            raise ConfigError(
                f"{option}: {detections} has panoptic results, which panoptic quality measures. "
                "Remove the option."
            )
        _evaluate_panoptic(detections, annotations, classes, json_file, per_class=per_class)
        return
    ground_truth = _read_truth(annotations)
    if metric is None:
        metric = "coco" if ground_truth.open_images is None else "openimages"
    if metric != "coco" and chosen is not None:
        raise ConfigError(
            f"{chosen}: is of COCO's metric, and this is {metric}. Remove it, or give --metric coco"
        )
    scored = _scored_names(classes, ground_truth.class_names, ground_truth.source)
    results = read_results(detections, ground_truth)
    kinds = _kinds(kind, results, ground_truth.has_masks)
    if metric == "coco":
        evaluators: list[Evaluator] = [
            CocoEvaluator(
                ground_truth,
                scored,
                kinds=kinds,
                max_detections=numbers,
                areas=ranges,
                missing_masks=missing_masks,
            )
        ]
    else:
        evaluators = default_evaluators(
            ground_truth,
            scored,
            predicts_masks="segm" in kinds,
            metric=metric,  # type: ignore[arg-type]
            missing_masks=missing_masks,
        )
    recalls = {}
    for path in recall_of or ():
        listed = read_listed_masks(path)
        recall = recall_of_masks(listed, results, ground_truth, ground_truth.class_names)
        recalls[path] = recall, len(listed)
    metrics = score(evaluators, results)
    console = Console(highlight=False, emoji=False)
    found = sum(len(result) for result in results)
    console.print(
        f"{found} detections in {len(results)} of {len(ground_truth.image_ids)} images, "
        f"{len(ground_truth)} annotations"
    )
    for note in (*ground_truth.notes, *note_on_masks(ground_truth.num_without_mask)):
        console.print(f"  {note}", markup=False)
    console.print(metrics.table(per_class=per_class))
    for path, (recall, count) in recalls.items():
        console.print(f"recall of {count} masks in {path.name}: {recall:.4f}", markup=False)
    if json_file is not None:
        by_file = {path.stem: recall for path, (recall, _) in recalls.items()}
        more = {"recall_of": by_file} if by_file else {}
        write_json(json_file, metrics.to_json() | more)


def _read_truth(annotations: Path) -> GroundTruth:
    """That of COCO annotations, whose images are not needed, or of a data set in any format."""
    from detzoo.data.locate import open_dataset
    from detzoo.evaluate import GroundTruth, read_ground_truth

    if annotations.is_file() and annotations.suffix.lower() == ".json":
        return read_ground_truth(annotations)
    dataset = open_dataset(annotations, "val")
    return replace(GroundTruth.of(dataset), notes=dataset.notes)


def _is_panoptic(detections: Path) -> bool:
    """Whether a file has an entry per image instead of one per detection."""
    from detzoo.data.formats.coco_panoptic import is_panoptic
    from detzoo.data.formats.sniff import json_outline

    return json_outline(detections).kind == "object" and is_panoptic(read_json(detections))


def _evaluate_panoptic(
    results: Path,
    annotations: Path,
    classes: str | None,
    json_file: Path | None,
    *,
    per_class: bool,
) -> None:
    from detzoo.evaluate import GroundTruth, ImageResult, PanopticEvaluator
    from detzoo.evaluate.panoptic_results import read_panoptic_results, read_panoptic_truth

    dataset = read_panoptic_truth(annotations)
    truth = GroundTruth.of(dataset)
    names = (*truth.class_names, *truth.stuff_names)
    scored = _scored_names(classes, names, truth.source)
    num_things = len(truth.class_names)
    evaluator = PanopticEvaluator(truth, scored[:num_things], scored[num_things:])
    found = read_panoptic_results(results, dataset)
    metrics = evaluator.score([ImageResult.of_segments(*one) for one in found.items()])
    console = Console(highlight=False, emoji=False)
    segments = sum(len(one.labels) for one in found.values())
    console.print(f"{segments} segments in {len(found)} of {len(dataset)} images")
    console.print(metrics.table(per_class=per_class))
    if json_file is not None:
        write_json(json_file, metrics.to_json())


def _scored_names(classes: str | None, names: Sequence[str], source: str) -> tuple[str, ...]:
    """``names`` with "" (which matches none) in place of those that are not to be scored."""
    if classes is None:
        return tuple(names)
    wanted = [part.strip() for part in classes.split(",")]
    absent = [name for name in wanted if name not in names]
    if absent:
        raise ConfigError(
            f"--classes {classes}: {source} has no class {absent[0]!r}; it has "
            f"{', '.join(names[:20])}{', ...' if len(names) > 20 else ''}."
        )
    return tuple(name if name in wanted else "" for name in names)


def _kinds(
    wanted: str | None, results: list[ImageResult], has_masks: bool
) -> tuple[Literal["bbox", "segm"], ...]:
    if wanted == "bbox":
        return ("bbox",)
    if wanted == "segm":
        return ("segm",)
    found_masks = any(result.masks is not None for result in results)
    return ("bbox", "segm") if found_masks and has_masks else ("bbox",)


def _parse_numbers(text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1 or len(set(numbers)) < len(numbers):
        raise ConfigError(
            f"--max-detections {text}: write distinct positive integers separated by commas, e.g. "
            "1,10,100"
        )
    return numbers


def _parse_areas(text: str) -> list[AreaRange]:
    from detzoo.evaluate import AreaRange

    ranges = []
    for part in text.split(","):
        name, *bounds = part.split(":")
        try:
            low, high = (float(bound) for bound in bounds)
        except ValueError:
            low, high = 0.0, 0.0
        # A name such as 50 would clash with AP50.
        if not name.isidentifier() or not 0 <= low < high:
            raise ConfigError(
                f"--areas {text}: {part!r} is not an area range; write name:low:high in square "
                "pixels, low below high: tiny:0:256,rest:256:1e10"
            )
        ranges.append(AreaRange(name, low, high))
    if len({area.name for area in ranges}) < len(ranges):
        raise ConfigError(f"--areas {text}: two ranges have the same name; give each its own")
    return ranges
