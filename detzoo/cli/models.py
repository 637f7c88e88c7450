"""``detzoo models``: the zoo as a table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from detzoo.errors import UserError

if TYPE_CHECKING:
    from detzoo.zoo.entry import Entry


def models(
    pattern: Annotated[
        str, typer.Argument(help="Part of a name, or a pattern such as 'mask_rcnn_r50*'.")
    ] = "*",
    family: Annotated[
        str | None, typer.Option(help="Only this family: faster_rcnn, retinanet, ...")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="Only backbones whose description has this: r50, resnext.")
    ] = None,
    min_ap: Annotated[
        float | None, typer.Option(help="Only models with at least this published box AP.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON on standard output.")] = False,
) -> None:
    """List the models of the zoo with their published figures.

    Box and mask AP are in percent on COCO val2017, AR is the recall of 1000 proposals, memory in GB
    per GPU in training, time in milliseconds per image on a V100.

    Examples:

      detzoo models

      detzoo models mask_rcnn --min-ap 40

      detzoo models --family retinanet --backbone r50 --json
    """
    from detzoo import zoo

    wanted = pattern if any(c in pattern for c in "*?[") else f"*{pattern}*"
    rows = [
        (group.folder, entry)
        for group in zoo.FAMILIES
        for entry in group.entries
        if _matches(group.folder, entry, wanted, family, backbone, min_ap)
    ]
    if family is not None and family not in [group.folder for group in zoo.FAMILIES]:
        known = ", ".join(group.folder for group in zoo.FAMILIES)
        raise UserError(f"--family {family}: no such family; there is {known}.")
    if not rows:
        raise UserError("no model fits. `detzoo models` without options lists them all.")
    if as_json:
        print(json.dumps([_to_json(folder, entry) for folder, entry in rows], indent=1))
    else:
        _print_table(rows)


def describe_backbone(entry: Entry) -> str:
    """The backbone in words: its class, and the weights that it starts from."""
    config = entry.experiment.model.backbone
    name = type(config).__name__.removesuffix("Config")
    return f"{name} ({config.pretrained_name or 'from scratch'})"


def _matches(
    folder: str,
    entry: Entry,
    pattern: str,
    family: str | None,
    backbone: str | None,
    min_ap: float | None,
) -> bool:
    import fnmatch

    words = f"{entry.name} {describe_backbone(entry)}".lower()
    return (
        fnmatch.fnmatch(entry.name, pattern)
        and family in (None, folder)
        and (backbone is None or backbone.lower() in words)
        and (min_ap is None or (entry.box_ap or 0) >= min_ap)
    )


def _to_json(folder: str, entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "family": folder,
        "backbone": describe_backbone(entry),
        "box_ap": entry.box_ap,
        "mask_ap": entry.mask_ap,
        "ar1000": entry.ar1000,
        "memory_gb": entry.memory_gb,
        "inference_ms": entry.inference_ms,
        "weights": entry.weights,
    }


def _print_table(rows: list[tuple[str, Entry]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "box AP", "mask AP", "AR 1000", "memory GB", "ms", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    table.columns[0].no_wrap = True
    last = ""
    for folder, entry in rows:
        if last and folder != last:
            table.add_section()
        last = folder
        figures = (
            entry.box_ap,
            entry.mask_ap,
            entry.ar1000,
            entry.memory_gb,
            entry.inference_ms,
        )
        table.add_row(entry.name, *("" if f is None else f"{f:.1f}" for f in figures))
    console = Console()
    # A pipe has no width, and a name that is cut is of no use.
    console = console if console.is_terminal else Console(width=160)
    console.print(table)
    console.print(f"{len(rows)} models")
