"""``detzoo models``: the zoo as a table."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from detzoo.cli.common import wide_console
from detzoo.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

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
    min_ap: Annotated[float | None, typer.Option(help="At least this published box AP.")] = None,
    min_mask_ap: Annotated[
        float | None, typer.Option(help="At least this published mask AP.")
    ] = None,
    max_memory: Annotated[
        float | None, typer.Option(help="At most this training memory, GB per GPU.")
    ] = None,
    max_time: Annotated[
        float | None, typer.Option(help="At most these milliseconds per image (V100).")
    ] = None,
    max_parameters: Annotated[
        float | None, typer.Option(help="At most so many million parameters.")
    ] = None,
    published: Annotated[
        bool | None,
        typer.Option("--published/--unpublished", help="Only with (without) published weights."),
    ] = None,
    available: Annotated[
        bool, typer.Option("--available", help="Only those whose weights are on this machine.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON on standard output.")] = False,
) -> None:
    """List the models of the zoo with their published figures.

    Box and mask AP are in percent on the validation set of the data (AP50 for Pascal VOC), AR is
    the recall of 1000 proposals, memory in GB per GPU in training, time in milliseconds per image
    on a V100. A * stands before weights that are on this machine.

    Examples:

      detzoo models

      detzoo models mask_rcnn --min-ap 40

      detzoo models --family retinanet --backbone r50 --json

      detzoo models --max-parameters 40 --min-ap 40 --available
    """
    from detzoo import zoo

    folders = [group.folder for group in zoo.FAMILIES]
    if family is not None and family not in folders:
        raise UserError(f"--family {family}: no such family; there is {', '.join(folders)}.")
    wanted = pattern if any(c in pattern for c in "*?[") else f"*{pattern}*"
    tests = (
        lambda row: _fits_name(row, wanted),
        lambda row: family in (None, row.family),
        lambda row: (
            backbone is None or backbone.lower() in f"{row.entry.name} {row.backbone}".lower()
        ),
        lambda row: _at_least(row.entry.box_ap or row.entry.box_ap50, min_ap),
        lambda row: _at_least(row.entry.mask_ap, min_mask_ap),
        lambda row: _at_most(row.entry.memory_gb, max_memory),
        lambda row: _at_most(row.entry.inference_ms, max_time),
        lambda row: _at_most(row.entry.parameters, max_parameters and max_parameters * 1e6),
        lambda row: published in (None, row.entry.weights is not None),
        lambda row: row.is_available or not available,
    )
    rows = _rows(tests)
    if not rows:
        raise UserError("no model fits. `detzoo models` without options lists them all.")
    if as_json:
        print(json.dumps([_to_json(row) for row in rows], indent=1))
    else:
        _print_table(rows)


@dataclass(frozen=True)
class Row:
    """An entry, its family's folder, its backbone in words, whether its weights are at hand."""

    family: str
    entry: Entry
    backbone: str
    is_available: bool


def describe_backbone(entry: Entry) -> str:
    """The backbone in words: its class, and the weights that it starts from."""
    config = entry.experiment.model.backbone
    name = type(config).__name__.removesuffix("Config")
    return f"{name} ({config.pretrained_name or 'from scratch'})"


def _rows(tests: tuple[Callable[[Row], bool], ...]) -> list[Row]:
    """The entries that pass all ``tests``."""
    from detzoo import zoo

    rows = [
        Row(group.folder, entry, describe_backbone(entry), _is_available(entry))
        for group in zoo.FAMILIES
        for entry in group.entries
    ]
    return [row for row in rows if all(test(row) for test in tests)]


def _is_available(entry: Entry) -> bool:
    from detzoo.loading import published_file
    from detzoo.weights.locate import find_local_file

    file = published_file(entry)
    return file is not None and find_local_file(file) is not None


def _fits_name(row: Row, pattern: str) -> bool:
    import fnmatch

    return fnmatch.fnmatch(row.entry.name, pattern)


def _at_least(value: float | None, bound: float | None) -> bool:
    """Whether a figure reaches ``bound``; one that was never published does not."""
    return bound is None or (value is not None and value >= bound)


def _at_most(value: float | None, bound: float | None) -> bool:
    return bound is None or (value is not None and value <= bound)


def _to_json(row: Row) -> dict[str, Any]:
    entry = row.entry
    return {
        "name": entry.name,
        "family": row.family,
        "backbone": row.backbone,
        "box_ap": entry.box_ap,
        "box_ap50": entry.box_ap50,
        "mask_ap": entry.mask_ap,
        "ar1000": entry.ar1000,
        "memory_gb": entry.memory_gb,
        "inference_ms": entry.inference_ms,
        "parameters": entry.parameters,
        "weights": entry.weights,
        "available": row.is_available,
    }


def _print_table(rows: list[Row]) -> None:
    from rich.table import Table

    numbers = ("box AP", "mask AP", "AR 1000", "memory GB", "ms", "M params")
    table = Table("name", "backbone", *numbers, "weights", box=None)
    for column in table.columns[2:-1]:
        column.justify = "right"
    table.columns[0].no_wrap = True
    last = ""
    for row in rows:
        if last and row.family != last:
            table.add_section()
        last = row.family
        entry = row.entry
        parameters = None if entry.parameters is None else entry.parameters / 1e6
        figures = (
            entry.box_ap or entry.box_ap50,
            entry.mask_ap,
            entry.ar1000,
            entry.memory_gb,
            entry.inference_ms,
            parameters,
        )
        file = "" if entry.weights is None else entry.weights.rsplit("/", 1)[-1]
        table.add_row(
            entry.name,
            row.backbone.split(" (")[0],
            *("" if f is None else f"{f:.1f}" for f in figures),
            f"*{file}" if row.is_available else file,
        )
    console = wide_console()
    console.print(table)
    console.print(f"{len(rows)} models")
