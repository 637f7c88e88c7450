"""``detzoo data check``."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detzoo.cli.common import (
    IgnoreExif,
    Imports,
    JsonFile,
    Settings,
    check_data,
    check_folder,
    check_source,
    plain_console,
)
from detzoo.errors import DataError
from detzoo.files import check_output, write_json

if TYPE_CHECKING:
    from detzoo.checks.finding import Finding, Split

PAGE = "report.html"
# Of a finding, in the terminal.
_MOST_MESSAGES = 10


def check(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="DIR...", help="A data set: a folder, or its annotation files."),
    ],
    images: Annotated[
        Path | None, typer.Option(help="Image folder, where DIR is an annotation file.")
    ] = None,
    split: Annotated[
        list[str] | None,
        typer.Option(help="Only this split; repeat as needed. Default: all there are."),
    ] = None,
    ignore_exif: IgnoreExif = False,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Also compare the sizes of objects with this model's anchors."
        ),
    ] = None,
    settings: Settings = None,
    imports: Imports = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help=f"Write a page with charts and pictures ({PAGE}) there."),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Find what is wrong with a data set: all faults at once, the worst first.

    Decodes every image. Exits with 0 if no fault was found, and with 1 otherwise.

    Examples:

      detzoo data check my_data -o checked

      detzoo data check train.json val.json --images photos --json faults.json

      detzoo data check my_data --model retinanet_r50_fpn_1x_coco
    """
    check_data(*paths, images)
    check_source(model)
    check_folder(out)
    if json_file is not None:
        check_output(json_file, "--json")
    from detzoo.checks.page import page
    from detzoo.checks.priors import check_priors, grid_of, input_boxes
    from detzoo.checks.run import worst_first
    from detzoo.cli.common import find_experiment
    from detzoo.report import write_page

    splits, unread = _open_splits(paths, split, images, ignore_exif)
    experiment = grid = sizes = None
    if model is not None:
        experiment = find_experiment(model, settings)
        grid = grid_of(model, experiment)
    findings = worst_first([*unread, *_check_all(splits)])
    if experiment is not None and grid is not None:
        about_size = [found for one in splits for found in check_priors(one, experiment, grid)]
        findings = worst_first([*findings, *about_size])
        sizes = {one.name: input_boxes(one.dataset, experiment) for one in splits}
    print_findings(findings)
    if importlib.util.find_spec("imagehash") is None:
        print("not checked: images that look alike (pip install 'detzoo[duplicates]')")
    if json_file is not None:
        write_json(json_file, {"findings": [finding.to_json() for finding in findings]})
    if out is not None:
        title = f"Data check: {', '.join(path.name or str(path.resolve()) for path in paths)}"
        content = page(title, splits, findings, grid=grid, input_sizes=sizes)
        print(f"page: {write_page(out / PAGE, content)}")
    if any(finding.is_fault for finding in findings):
        raise typer.Exit(1)


def _open_splits(
    paths: Sequence[Path],
    wanted: Sequence[str] | None,
    images: Path | None,
    ignore_exif: bool = False,
) -> tuple[list[Split], list[Finding]]:
    """The ``wanted`` splits of folders, or all of them; of a file, the data that it describes.

    Entries that cannot be read are faults of the splits; splits that cannot be opened are findings.
    Raises :class:`DataError` where none can.
    """
    from detzoo.checks.entries import unopened
    from detzoo.checks.finding import Split
    from detzoo.cli.common import open_split
    from detzoo.data.reading import reading_on

    common = os.path.commonpath([path.resolve().parent for path in paths])
    splits: list[Split] = []
    unread: list[Finding] = []
    for path in paths:
        place = os.path.relpath(path.resolve(), common)  # tells several from each other
        for name, shown in splits_of(path, wanted).items():
            if path.is_file() and shown == path.stem:
                shown = os.path.splitext(place)[0]
            elif len(paths) > 1:
                shown = f"{place}/{name}"
            try:
                with reading_on() as faults:
                    dataset = open_split(path, name, images, check=False, ignore_exif=ignore_exif)
                splits.append(Split(shown, dataset, faults=tuple(faults)))
            except DataError as error:
                unread.append(unopened(shown, error, faults))
    if not splits:
        texts = [text for finding in unread for text in finding.messages]
        more = f"\nand {len(texts) - _MOST_MESSAGES} more" if len(texts) > _MOST_MESSAGES else ""
        raise DataError("\n".join(texts[:_MOST_MESSAGES]) + more)
    return splits, unread


def splits_of(path: Path, wanted: Sequence[str] | None) -> dict[str, str]:
    """The ``wanted`` splits, or all there are, and what each is called: a file, by its name."""
    from detzoo.data.formats.base import SPLITS
    from detzoo.data.formats.table import FORMATS

    found = next(filter(None, (item.find(path) for item in FORMATS)), {})
    divided = [name for name in SPLITS if name in found]
    is_whole = path.is_file() and not divided
    return {name: path.stem if is_whole else name for name in wanted or divided or ["train"]}


def _check_all(splits: Sequence[Split]) -> list[Finding]:
    """All checks, with a progress bar over the images."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from detzoo.checks.run import check_all

    total = sum(len(split.dataset) for split in splits)
    columns = ("reading images", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total)
        return check_all(splits, lambda: progress.advance(task))


def print_findings(findings: Sequence[Finding]) -> None:
    """A line each, and for faults another one on what to do."""
    console = plain_console()
    styles = {"error": "bold red", "warning": "yellow", "info": "dim"}
    width = max((len(finding.split) for finding in findings), default=0)
    for finding in findings:
        console.print(f"{finding.severity:7}", style=styles[finding.severity], end="  ")
        console.print(f"{finding.split:{width}}  {finding.title}", soft_wrap=True)
        for text in finding.messages[:_MOST_MESSAGES]:
            console.print(f"         {text}", soft_wrap=True)
        if len(finding.messages) > _MOST_MESSAGES:
            more = len(finding.messages) - _MOST_MESSAGES
            console.print(f"         and {more} more (--json FILE lists them all)")
        if finding.is_fault:
            console.print(f"         {finding.advice}", soft_wrap=True, style="dim")
    if not any(finding.is_fault for finding in findings):
        console.print("no faults found")
