"""``detzoo models``: lists the zoo as a table."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Callable
from typing import Annotated

import typer

from detzoo.cli.common import wide_console
from detzoo.errors import UserError
from detzoo.zoo_list import CHOICE, Row, zoo_rows


def models(
    pattern: Annotated[
        str | None,
        typer.Argument(
            help="Part of a name, or a pattern such as 'mask_rcnn_r50*'.", show_default=False
        ),
    ] = None,
    show_all: Annotated[
        bool, typer.Option("--all", help="All models, instead of those to begin with.")
    ] = False,
    family: Annotated[
        str | None, typer.Option(help="Only this family: faster_rcnn, retinanet, ...")
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="Only backbones whose description contains this: resnet50, swin."),
    ] = None,
    min_ap: Annotated[float | None, typer.Option(help="Minimum published box AP (COCO).")] = None,
    min_mask_ap: Annotated[float | None, typer.Option(help="Minimum published mask AP.")] = None,
    min_pq: Annotated[
        float | None, typer.Option(help="Minimum published panoptic quality.")
    ] = None,
    max_memory: Annotated[
        float | None, typer.Option(help="Maximum training memory, in GB per GPU.")
    ] = None,
    max_time: Annotated[
        float | None, typer.Option(help="Maximum inference time, in milliseconds per image (V100).")
    ] = None,
    max_parameters: Annotated[
        float | None, typer.Option(help="Maximum number of parameters, in millions.")
    ] = None,
    published: Annotated[
        bool | None,
        typer.Option(
            "--published/--unpublished", help="Only models with, or without, published weights."
        ),
    ] = None,
    available: Annotated[
        bool, typer.Option("--available", help="Only models whose weights are on this machine.")
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print JSON: all models, or those that the options select."),
    ] = False,
) -> None:
    """List models with their published figures: without options, some to begin with, by purpose.

    Box and mask AP are in percent on the validation set (box AP50 for Pascal VOC, which is not
    comparable to COCO AP), AR is the average recall of 1000 proposals, memory is in GB per GPU
    during training, and time in milliseconds per image on a V100. An asterisk marks weights that
    are on this machine.

    Examples:

      detzoo models

      detzoo models --all

      detzoo models mask_rcnn --min-ap 40

      detzoo models --family retinanet --backbone r50 --json

      detzoo models --max-parameters 40 --min-ap 40 --available
    """
    from detzoo.weights.places import Published, find_local_file

    rows = read_rows()
    for row in rows:
        path = row.pop("path")
        row["available"] = path is not None and find_local_file(Published(path)) is not None
    families = list(dict.fromkeys(row["family"] for row in rows))
    if family is not None and family not in families:
        raise UserError(f"--family {family}: no such family. Choose one of {', '.join(families)}.")
    part = pattern or ""
    wanted = part if any(c in part for c in "*?[") else f"*{part}*"
    tests: tuple[Callable[[Row], bool], ...] = (
        lambda row: fnmatch.fnmatch(row["name"], wanted),
        lambda row: family in (None, row["family"]),
        lambda row: (
            backbone is None or backbone.lower() in f"{row['name']} {row['backbone']}".lower()
        ),
        lambda row: _at_least(row["box_ap"], min_ap),
        lambda row: _at_least(row["mask_ap"], min_mask_ap),
        lambda row: _at_least(row["pq"], min_pq),
        lambda row: _at_most(row["memory_gb"], max_memory),
        lambda row: _at_most(row["inference_ms"], max_time),
        lambda row: _at_most(row["parameters"], max_parameters and max_parameters * 1e6),
        lambda row: published in (None, row["weights"] is not None),
        lambda row: row["available"] or not available,
    )
    rows = [row for row in rows if all(test(row) for test in tests)]
    if not rows:
        raise UserError("no model matches. `detzoo models --all` lists all of them.")
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    bounds = (min_ap, min_mask_ap, min_pq, max_memory, max_time, max_parameters)
    filters = (pattern, family, backbone, published, *bounds)
    is_short = not (show_all or available or any(one is not None for one in filters))
    by_name = {row["name"]: row for row in rows}
    if is_short:
        groups = {purpose: [by_name[name] for name in names] for purpose, names in CHOICE.items()}
    else:
        groups = {}
        for row in rows:
            groups.setdefault(row["family"], []).append(row)
    _print_table(groups)
    print("AP, PQ and AR: percent (detzoo test prints fractions).")
    print("GB: per GPU in training. ms: per image on a V100.")
    if is_short:
        shown = sum(map(len, groups.values()))
        all_of_them = "All: detzoo models --all, or give part of a name or a filter."
        print(f"{shown} of {len(rows)} models. {all_of_them}")
    else:
        print(f"{len(rows)} models")


def read_rows() -> list[Row]:
    """Reads the list of zoo models."""
    return [dict(row) for row in zoo_rows().values()]


def _at_least(value: float | None, bound: float | None) -> bool:
    """Whether a value reaches ``bound``; unpublished values do not."""
    return bound is None or (value is not None and value >= bound)


def _at_most(value: float | None, bound: float | None) -> bool:
    return bound is None or (value is not None and value <= bound)


# The columns that a narrow terminal does without, the first ones first.
_LEAST_IMPORTANT = ("weights", "box AP50", "AR 1000", "backbone", "GB", "ms", "M params")
# Columns make room for names of this length; longer ones get a line of their own.
_NAME_LENGTH = 48
_TEXT = ("name", "backbone", "weights")


def _print_table(groups: dict[str, list[Row]]) -> None:
    """Prints the rows of each group with the columns that have values and that there is room for.

    No cell is ever broken or cut, since names are copied from here.
    """
    console = wide_console()
    columns = _columns([row for rows in groups.values() for row in rows])
    columns = {title: cells for title, cells in columns.items() if any(cells)}
    widths = {title: max(map(len, (title, *cells))) for title, cells in columns.items()}
    left_out = []
    for title in _LEAST_IMPORTANT:
        others = sum(2 + width for name, width in widths.items() if name != "name")
        if min(widths["name"], _NAME_LENGTH) + others <= console.width:
            break
        if widths.pop(title, None) is not None:
            left_out.append(title)
    others = sum(2 + width for name, width in widths.items() if name != "name")
    widths["name"] = min(widths["name"], max(console.width - others, len("name")))
    lines = iter(zip(*(columns[title] for title in widths)))

    def show(text: str, style: str | None = None) -> None:
        console.print(text, style=style, markup=False, soft_wrap=True)

    show(_line(tuple(widths), widths), "bold")
    for title, rows in groups.items():
        show(f"\n{title}" if title else "")
        for _, cells in zip(rows, lines):
            show(_line(cells, widths))
    show("")
    if left_out:
        show(f"A wider terminal, or --json, also shows {', '.join(left_out)}.")


def _line(cells: tuple[str, ...], widths: dict[str, int]) -> str:
    """The first cell, then the others below their titles, on the next line if it is too long."""
    name, *others = (
        cell.ljust(width) if title in _TEXT else cell.rjust(width)
        for cell, (title, width) in zip(cells, widths.items())
    )
    if len(name) > widths["name"] and any(other.strip() for other in others):
        name += "\n" + " " * widths["name"]
    return "  ".join([name, *others]).rstrip()


def _columns(rows: list[Row]) -> dict[str, list[str]]:
    """The cells of each column, empty where nothing is published."""

    def numbers(key: str, unit: float = 1) -> list[str]:
        return ["" if row[key] is None else f"{row[key] / unit:.1f}" for row in rows]

    files = ["" if row["weights"] is None else row["weights"].rsplit("/", 1)[-1] for row in rows]
    return {
        "name": [row["name"] for row in rows],
        # Without pretrained weights, and what all of a size have in common.
        "backbone": [row["backbone"].split(" (")[0].split("_patch")[0] for row in rows],
        "box AP": numbers("box_ap"),
        "box AP50": numbers("box_ap50"),
        "mask AP": numbers("mask_ap"),
        "PQ": numbers("pq"),
        "AR 1000": numbers("ar1000"),
        "GB": numbers("memory_gb"),
        "ms": numbers("inference_ms"),
        "M params": numbers("parameters", 1e6),
        "weights": [f"*{file}" if row["available"] else file for row, file in zip(rows, files)],
    }
