"""``detzoo data convert``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detzoo.cli.common import (
    IgnoreExif,
    SkipBroken,
    check_data,
    open_sets,
    plain_console,
    print_broken,
)
from detzoo.cli.data.check import splits_of

if TYPE_CHECKING:
    from detzoo.data.dataset import DetectionDataset


def convert(
    data: Annotated[
        Path, typer.Argument(metavar="DIR", help="A data set: a folder, or an annotation file.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder.")],
    to: Annotated[str, typer.Option(metavar="FORMAT", help="coco, yolo or voc.")],
    images: Annotated[
        Path | None, typer.Option(help="Image folder, where DIR is an annotation file.")
    ] = None,
    split: Annotated[
        list[str] | None,
        typer.Option(help="Only this split; repeat as needed. Default: all there are."),
    ] = None,
    link: Annotated[
        bool,
        typer.Option("--link", help="Hard links to the images, where possible, instead of copies."),
    ] = False,
    skip_broken: SkipBroken = False,
    ignore_exif: IgnoreExif = False,
) -> None:
    """Write a data set in another format, with its images and masks.

    COCO keeps everything. YOLO gets boxes or polygons, but no crowds or difficult objects; VOC gets
    boxes. Says how many objects are left out or changed, and exits with 1 if some are left out.

    Examples:

      detzoo data convert my_data my_data_yolo --to yolo

      detzoo data convert train.json my_data_voc --images photos --to voc
    """
    check_data(data, images)
    from detzoo.data.writers import convert as write

    folders = () if images is None else [images]
    datasets: dict[str, DetectionDataset] = {}
    broken: list[str] = []
    for name, shown in splits_of(data, split).items():
        (datasets[shown],), faults = open_sets(
            [data], folders, name, skip_broken=skip_broken, ignore_exif=ignore_exif
        )
        broken += faults
    done = write(datasets, to, out, link=link)
    console = plain_console()
    console.print(f"{done.num_images} images of {', '.join(datasets)}: {out}", soft_wrap=True)
    for what, count in done.changes.items():
        console.print(f"  {count} {what}", soft_wrap=True)
    print_broken(broken)
    if broken or any("left out" in what for what in done.changes):
        raise typer.Exit(1)
