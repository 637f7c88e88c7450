"""``detzoo data anchors``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from detzoo.cli.common import (
    IgnoreExif,
    Imports,
    Settings,
    check_data,
    check_source,
    open_split,
    plain_console,
)
from detzoo.errors import ConfigError

if TYPE_CHECKING:
    from detzoo.priors.yolo import YOLOAnchors


def anchors(
    path: Annotated[
        Path, typer.Argument(metavar="DIR", help="A data set: a folder, or its annotation file.")
    ],
    model: Annotated[
        str, typer.Option(metavar="NAME", help="The model whose input the objects are scaled to.")
    ],
    images: Annotated[
        Path | None, typer.Option(help="Image folder, where DIR is an annotation file.")
    ] = None,
    split: Annotated[str, typer.Option(help="Which split.")] = "train",
    count: Annotated[
        int | None,
        typer.Option(min=1, help="Number of anchors. Default: as many as a cell of the model has."),
    ] = None,
    method: Annotated[
        Literal["kmeans", "evolution"],
        typer.Option(help="k-means, or differential evolution, which takes longer."),
    ] = "kmeans",
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    ignore_exif: IgnoreExif = False,
    settings: Settings = None,
    imports: Imports = None,
) -> None:
    """Fit anchors to the objects of a data set, and show how well they fit before and after.

    Sizes are those in the model's input. For YOLOv3 it prints the setting that uses them.

    Examples:

      detzoo data anchors my_data --model yolov3_d53_mstrain-608_273e_coco

      detzoo data anchors my_data --model retinanet_r50_fpn_1x_coco --count 9 --method evolution
    """
    check_data(path, images)
    check_source(model)
    from detzoo.checks.anchors import Fit, fit_anchors
    from detzoo.checks.priors import grid_of, input_boxes
    from detzoo.cli.common import find_experiment
    from detzoo.priors.yolo import YOLOAnchors

    experiment = find_experiment(model, settings)
    grid = grid_of(model, experiment)
    if not len(grid.anchors) and count is None:
        raise ConfigError(f"--model {model}: has no anchors. Give their number with --count.")
    dataset = open_split(path, split, images, ignore_exif=ignore_exif)
    objects = dataset.annotations
    regular = ~objects.is_crowd & ~objects.is_ignored & (objects.boxes[:, 2:] >= 1).all(1)
    sizes = input_boxes(dataset, experiment)[regular]
    found = fit_anchors(sizes, count or len(grid.anchors), method, seed)
    rows = {f"{len(found)} fitted": found}
    if len(grid.anchors):
        rows = {f"{len(grid.anchors)} of {model}": grid.anchors, **rows}
    console = plain_console()
    console.print(f"{len(sizes)} objects in the input of {model}")
    for name, shapes in rows.items():
        fit = Fit.of(sizes, shapes)
        console.print(
            f"{name}: mean best IoU {fit.mean_iou:.3f}; {fit.unfit:.1%} of the objects fit none"
        )
    console.print("  ".join(f"{w:.0f}x{h:.0f}" for w, h in found.tolist()), soft_wrap=True)
    own = getattr(getattr(experiment.model, "bbox_head", None), "anchors", None)
    if isinstance(own, YOLOAnchors) and len(found) == len(grid.anchors):
        setting = _grouped(found.round().int().tolist(), own)
        console.print(f"--set 'model.bbox_head.anchors.sizes={setting}'", soft_wrap=True)


def _grouped(shapes: list[list[int]], priors: YOLOAnchors) -> list[list[list[int]]]:
    """The anchors, smallest first, in groups for each level, in the order of the model's levels."""
    each = len(priors.sizes[0])
    groups = [shapes[k : k + each] for k in range(0, len(shapes), each)]
    coarse_first = priors.sizes[0][0] > priors.sizes[-1][0]
    return groups[::-1] if coarse_first else groups
