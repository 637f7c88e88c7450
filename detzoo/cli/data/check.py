"""``detzoo data check``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detzoo.cli.common import JsonFile, check_data, plain_console

if TYPE_CHECKING:
    from detzoo.checks.finding import Finding, Split


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
    json_file: JsonFile = None,
) -> None:
    """Find what is wrong with a data set: all faults at once, the worst first.

    Exits with 0 if no fault was found, and with 1 otherwise.

    Examples:

      detzoo data check my_data

      detzoo data check train.json val.json --images photos --json faults.json
    """
    check_data(*paths, images)
    from detzoo.checks.run import check_annotations
    from detzoo.files import write_json

    splits = open_splits(paths, split, images)
    findings = check_annotations(splits)
    print_findings(findings)
    if json_file is not None:
        write_json(json_file, {"findings": [finding.to_json() for finding in findings]})
    if any(finding.is_fault for finding in findings):
        raise typer.Exit(1)


def open_splits(paths: list[Path], wanted: list[str] | None, images: Path | None) -> list[Split]:
    """The ``wanted`` splits of folders, or all of them; of a file, the data that it describes."""
    from detzoo.checks.finding import Split
    from detzoo.cli.common import open_split
    from detzoo.data.locate import available_splits

    splits = []
    for path in paths:
        names = wanted or (available_splits(path) if path.is_dir() else (path.stem,)) or ("train",)
        for name in names:
            dataset = open_split(path, name, images, check_files=False)
            splits.append(Split(name if len(paths) == 1 else str(path), dataset))
    return splits


def print_findings(findings: list[Finding]) -> None:
    """A line each, and what to do about it."""
    console = plain_console()
    styles = {"error": "bold red", "warning": "yellow", "info": "dim"}
    for finding in findings:
        console.print(f"{finding.severity:7}", style=styles[finding.severity], end="  ")
        console.print(f"{finding.split}: {finding.title}", soft_wrap=True)
        if finding.is_fault:
            console.print(f"         {finding.advice}", soft_wrap=True, style="dim")
    if not any(finding.is_fault for finding in findings):
        console.print("no faults found")
