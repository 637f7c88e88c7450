"""``detzoo data split``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from detzoo.cli.common import (
    IgnoreExif,
    SkipBroken,
    check_data,
    open_sets,
    plain_console,
    print_broken,
)
from detzoo.errors import ConfigError


def split(
    data: Annotated[
        Path, typer.Argument(metavar="DIR", help="A data set: a folder, or an annotation file.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder.")],
    val_fraction: Annotated[
        float | None,
        typer.Option(metavar="F", help="This part of the images becomes val. Default: .2."),
    ] = None,
    fold: Annotated[
        str | None, typer.Option(metavar="K/N", help="Fold K of N becomes val: 2/5.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Another number draws other images.")] = 0,
    to: Annotated[str, typer.Option(metavar="FORMAT", help="coco, yolo or voc.")] = "coco",
    images: Annotated[
        Path | None, typer.Option(help="Image folder, where DIR is an annotation file.")
    ] = None,
    part: Annotated[
        str, typer.Option("--split", help="Which split of DIR to divide; the others stay behind.")
    ] = "train",
    link: Annotated[
        bool,
        typer.Option("--link", help="Hard links to the images, where possible, instead of copies."),
    ] = False,
    skip_broken: SkipBroken = False,
    ignore_exif: IgnoreExif = False,
) -> None:
    """Divide a data set into train and val, and write both.

    Divides as detzoo train does with the same options and seed: images of one scene, as far as
    their names tell, are never on both sides, and every class gets its share. Exits with 1 if the
    format cannot hold some objects.

    Examples:

      detzoo data split my_data divided --val-fraction .15

      detzoo data split annotations.json fold_2 --images photos --fold 2/5 --to yolo
    """
    check_data(data, images)
    if fold is not None and val_fraction is not None:
        raise ConfigError("--fold: --val-fraction says what val is. Leave one of the two out.")
    if val_fraction is not None and not 0 < val_fraction < 1:
        raise ConfigError(f"--val-fraction {val_fraction:g}: must be between 0 and 1, such as 0.2")

    from detzoo.data.hold_out import HoldOut
    from detzoo.data.writers import convert

    rule = HoldOut.fraction(val_fraction or 0.2, seed) if fold is None else HoldOut.fold(fold, seed)
    (dataset,), broken = open_sets(
        [data],
        () if images is None else [images],
        part,
        skip_broken=skip_broken,
        ignore_exif=ignore_exif,
    )
    names = [dataset.file_names[i] for i in range(len(dataset))]
    held_out = rule.held_out(names, dataset)
    train, val = (dataset.take(side.nonzero()[:, 0]) for side in (~held_out, held_out))
    done = convert({"train": train, "val": val}, to, out, link=link)
    console = plain_console()
    for name, side in (("train", train), ("val  ", val)):
        counts = side.annotations.labels.bincount(minlength=len(side.class_names)).tolist()
        listed = ", ".join(f"{n} {label}" for label, n in zip(side.class_names[:8], counts))
        more = ", ..." if len(counts) > 8 else ""
        console.print(f"{name}  {len(side)} images: {listed}{more}", soft_wrap=True)
    console.print(f"written: {out}", soft_wrap=True)
    for what, count in done.changes.items():
        console.print(f"  {count} {what}", soft_wrap=True)
    print_broken(broken)
    if broken or any("left out" in what for what in done.changes):
        raise typer.Exit(1)
