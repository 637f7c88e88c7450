"""``detzoo data get``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from detzoo.cli.common import check_folder, plain_console
from detzoo.errors import ConfigError


def get(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="coco2017, lvis (v1), voc2007, voc2012 or objects365v2."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Default: data/NAME.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ARCHIVE",
            help="Only archives whose names start so, such as val2017; repeat for several.",
            show_default=False,
        ),
    ] = None,
    mirror: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Address of a folder with the archives, to try first."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the archives.")] = False,
) -> None:
    """Download a data set, verify it by its published hashes, and unpack it.

    Objects365 has none: its archives are verified by gzip's checksums. They are unpacked one after
    the other, and take about 370 GB. Goes on after an interruption with the same command. Archives
    that are there already, in DIR, are verified and unpacked.

    Examples:

      detzoo data get voc2007

      detzoo data get coco2017 -o coco --only annotations --only val2017

      detzoo data get objects365v2 --only annotations --only val/
    """
    from detzoo.data.published import DATA_SETS, chosen, get_archive

    if name not in DATA_SETS:
        raise ConfigError(f"{name}: is not one of {', '.join(DATA_SETS)}.")
    folder = out if out is not None else Path("data") / name
    check_folder(folder)
    archives = chosen(name, only or ())
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"--out {folder}: cannot be created ({error.strerror}). Give another folder."
        ) from None
    console = plain_console()
    for archive in archives:
        known = "size and hash are not published"
        if archive.size is not None:
            known = f"{archive.size / 1e9:.2f} GB"
        console.print(f"{archive.name}: {known}")
        is_new = get_archive(archive, folder, mirror=mirror, keep=keep)
        console.print(f"  {'unpacked' if is_new else 'is there already'}")
    console.print(f"done: --data {folder}", soft_wrap=True)
