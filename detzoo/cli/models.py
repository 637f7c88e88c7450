"""``detzoo models``: lists the zoo as a table."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from detzoo.cli.common import wide_console
from detzoo.errors import UserError
from detzoo.zoo_list import Row, zoo_rows

if TYPE_CHECKING:
    from rich.table import Table


def models(
    pattern: Annotated[
        str, typer.Argument(help="Part of a name, or a pattern such as 'mask_rcnn_r50*'.")
    ] = "*",
    family: Annotated[
        str | None, typer.Option(help="Only this family: faster_rcnn, retinanet, ...")
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="Only backbones whose description contains this: r50, resnext."),
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
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the models of the zoo with their published figures.

    Box and mask AP are in percent on the validation set (box AP50 for Pascal VOC, which is not
    comparable to COCO AP), AR is the average recall of 1000 proposals, memory is in GB per GPU
    during training, and time in milliseconds per image on a V100. An asterisk marks weights that
    are on this machine.

    Examples:

      detzoo models

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
    wanted = pattern if any(c in pattern for c in "*?[") else f"*{pattern}*"
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
        raise UserError("no model matches. `detzoo models` without options lists them all.")
    if as_json:
        print(json.dumps(rows, indent=1))
    else:
        _print_table(rows)


def read_rows() -> list[Row]:
    """Reads the list of zoo models."""
    return [dict(row) for row in zoo_rows().values()]


def _at_least(value: float | None, bound: float | None) -> bool:
    """Whether a value reaches ``bound``; unpublished values do not."""
    return bound is None or (value is not None and value >= bound)


def _at_most(value: float | None, bound: float | None) -> bool:
    return bound is None or (value is not None and value <= bound)


# The columns that a narrow terminal does without, the first ones first.
_LEAST_IMPORTANT = ("weights", "box AP50", "backbone", "AR 1000", "memory GB", "ms", "M params")


def _print_table(rows: list[Row]) -> None:
    """Prints the columns that have values, as many as there is room for."""
    from rich.measure import Measurement

    console = wide_console()
    columns = _columns(rows)
    columns = {title: cells for title, cells in columns.items() if any(cells)}
    table = _table(columns, rows)
    unlimited = console.options.update(max_width=10_000)
    left_out = []
    for title in _LEAST_IMPORTANT:
        if Measurement.get(console, unlimited, table).maximum <= console.width:
            break
        if columns.pop(title, None) is not None:
            left_out.append(title)
            table = _table(columns, rows)
    console.print(table)
    console.print(f"{len(rows)} models")
    if left_out:
        console.print(f"A wider terminal, or --json, also shows {', '.join(left_out)}.")


def _columns(rows: list[Row]) -> dict[str, list[str]]:
    """The cells of each column, empty where nothing is published."""

    def numbers(key: str, unit: float = 1) -> list[str]:
        return ["" if row[key] is None else f"{row[key] / unit:.1f}" for row in rows]

    files = ["" if row["weights"] is None else row["weights"].rsplit("/", 1)[-1] for row in rows]
    return {
        "name": [row["name"] for row in rows],
        "backbone": [row["backbone"].split(" (")[0] for row in rows],
        "box AP": numbers("box_ap"),
        "box AP50": numbers("box_ap50"),
        "mask AP": numbers("mask_ap"),
        "PQ": numbers("pq"),
        "AR 1000": numbers("ar1000"),
        "memory GB": numbers("memory_gb"),
        "ms": numbers("inference_ms"),
        "M params": numbers("parameters", 1e6),
        "weights": [f"*{file}" if row["available"] else file for row, file in zip(rows, files)],
    }


def _table(columns: dict[str, list[str]], rows: list[Row]) -> Table:
    """A table with space between families."""
    from rich.table import Table

    table = Table(box=None)
    for title in columns:
        is_text = title in ("name", "backbone", "weights")
        table.add_column(title, justify="left" if is_text else "right", no_wrap=True)
    last = ""
    for row, *cells in zip(rows, *columns.values()):
        if last and row["family"] != last:
            table.add_section()
        last = row["family"]
        table.add_row(*cells)
    return table
