"""``detzoo data browse``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from detzoo.cli.common import (
    IgnoreExif,
    Imports,
    Settings,
    SkipBroken,
    check_data,
    check_folder,
    check_source,
    find_experiment,
    next_folder,
    open_sets,
    print_broken,
)


def browse(
    data: Annotated[
        Path, typer.Argument(metavar="DIR", help="A data set: a folder, or an annotation file.")
    ],
    model: Annotated[
        str, typer.Option(metavar="NAME", help="The model whose recipe augments the samples.")
    ],
    images: Annotated[
        Path | None, typer.Option(help="Image folder, where DIR is an annotation file.")
    ] = None,
    split: Annotated[str, typer.Option(help="Which split to look at.")] = "train",
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many samples.")] = 12,
    epoch: Annotated[
        int, typer.Option(min=1, help="Samples of this epoch: the last ones may augment less.")
    ] = 1,
    seed: Annotated[int | None, typer.Option(help="Random seed, as in training.")] = None,
    skip_broken: SkipBroken = False,
    ignore_exif: IgnoreExif = False,
    semantic_maps: Annotated[
        Path | None, typer.Option(metavar="DIR", help="As in detzoo train, for HTC.")
    ] = None,
    settings: Settings = None,
    imports: Imports = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder. Default: a new runs/browse-<n>.")
    ] = None,
) -> None:
    """Look at samples as a model sees them in training, before and after augmentation.

    Writes a page (report.html) and the pictures. The samples are the first ones that detzoo train
    would use with the same model, data, settings and seed.

    Examples:

      detzoo data browse my_data --model yolox_s_8x8_300e_coco

      detzoo data browse my_data --model mask_rcnn_r50_fpn_1x_coco --count 40 -o samples
    """
    check_source(model)
    check_data(data, images)
    check_folder(out)
    from dataclasses import replace

    from detzoo.browse import browse as draw_samples
    from detzoo.report import Picture, write_page

    experiment = find_experiment(model, settings)
    if seed is not None:
        experiment = replace(experiment, seed=seed)
    (dataset,), broken = open_sets(
        [data],
        () if images is None else [images],
        split,
        skip_broken=skip_broken,
        ignore_exif=ignore_exif,
    )
    if semantic_maps is not None:
        dataset = dataset.with_semantic_maps(semantic_maps)
    browsed = draw_samples(dataset, experiment, count, epoch=epoch - 1)
    folder = out or next_folder(Path("runs"), "browse")
    page = write_page(folder / "report.html", browsed.to_page())
    for number, sample in enumerate(browsed.samples, 1):
        for image, when in ((sample.before, "before"), (sample.after, "after")):
            name = f"{number:03d}_{Path(sample.name).stem}_{when}.jpg"
            (folder / name).write_bytes(Picture.of(image, "").jpeg)
    print(f"page: {page}")
    print(f"pictures: {2 * len(browsed.samples)} in {folder}")
    print_broken(broken)
    if broken:
        raise typer.Exit(1)
