"""``detzoo evaluate``: scores detections from any source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from detzoo.cli.common import MissingMasks, check_data, note_on_masks
from detzoo.errors import ConfigError
from detzoo.files import check_output, write_json

if TYPE_CHECKING:
    from detzoo.evaluate import AreaRange, GroundTruth, ImageResult


def evaluate(
    detections: Annotated[
        Path, typer.Argument(help="Detections in COCO result format: a JSON list.")
    ],
    annotations: Annotated[
        Path,
        typer.Argument(help="COCO annotations of the same images. The image files are not needed."),
    ],
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
    ] = "1,10,100",
    areas: Annotated[
        str, typer.Option(help="Area ranges to score separately: name:low:high in square pixels.")
    ] = "s:0:1024,m:1024:9216,l:9216:1e10",
) -> None:
    """Compute COCO metrics for detections from any source.

    Images and categories are matched by id.

    Examples:

      detzoo evaluate detections.json annotations/instances_val2017.json

      detzoo evaluate masks.json instances.json --type segm --per-class --json metrics.json

      detzoo evaluate masks.json instances_val2017.json --recall-of occluded_coco.pkl
    """
    if json_file is not None:
        check_output(json_file, "--json")
    check_data(detections, annotations, *(recall_of or ()))

    # Imported here so that `detzoo --help` is instant.
    from detzoo.evaluate import CocoEvaluator, read_ground_truth, read_results
    from detzoo.evaluate.listed_masks import read_listed_masks, recall_of_masks

    numbers, ranges = _parse_numbers(max_detections), _parse_areas(areas)
    if kind not in (None, "bbox", "segm"):
        raise ConfigError(f"--type {kind}: is not one of bbox, segm")
    ground_truth = read_ground_truth(annotations)
    scored = _scored_names(classes, ground_truth)
    results = read_results(detections, ground_truth)
    evaluator = CocoEvaluator(
        ground_truth,
        scored,
        kinds=_kinds(kind, results, ground_truth.has_masks),
        max_detections=numbers,
        areas=ranges,
        missing_masks=missing_masks,
    )
    recalls = {}
    for path in recall_of or ():
        listed = read_listed_masks(path)
        recall = recall_of_masks(listed, results, ground_truth, ground_truth.class_names)
        recalls[path] = recall, len(listed)
    metrics = evaluator.score(results)
    console = Console(highlight=False, emoji=False)
    found = sum(len(result) for result in results)
    console.print(
        f"{found} detections in {len(results)} of {len(ground_truth.image_ids)} images, "
        f"{len(ground_truth)} annotations"
    )
    for note in (*ground_truth.notes, *note_on_masks(ground_truth.num_without_mask)):
        console.print(f"  {note}")
    console.print(metrics.table(per_class=per_class))
    for path, (recall, count) in recalls.items():
        console.print(f"recall of {count} masks in {path.name}: {recall:.4f}", markup=False)
    if json_file is not None:
        by_file = {path.stem: recall for path, (recall, _) in recalls.items()}
        more = {"recall_of": by_file} if by_file else {}
        write_json(json_file, metrics.to_json() | more)


def _scored_names(classes: str | None, ground_truth: GroundTruth) -> tuple[str, ...]:
    """The names of all classes, with "" (which matches none) in place of those not to be scored."""
    names = ground_truth.class_names
    if classes is None:
        return names
    wanted = [part.strip() for part in classes.split(",")]
    absent = [name for name in wanted if name not in names]
    if absent:
        raise ConfigError(
            f"--classes {classes}: {ground_truth.source} has no class {absent[0]!r}; it has "
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
