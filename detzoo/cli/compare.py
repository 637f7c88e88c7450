"""``detzoo compare``: detectors side by side on the same images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from detzoo.cli.common import (
    BatchSize,
    DataSets,
    Device,
    Images,
    Imports,
    Precision,
    TestSplit,
    Trust,
    Workers,
    check_data,
    check_folder,
    check_source,
    open_sets,
    plain_console,
)
from detzoo.errors import ConfigError, DataError


def compare(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="A B...",
            help="Detections in COCO result format (.json), checkpoints, or zoo names.",
        ),
    ],
    data: DataSets,
    images: Images = None,
    split: TestSplit = None,
    resamples: Annotated[
        int, typer.Option(min=10, help="Resamples of the images for confidence intervals.")
    ] = 300,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Write Markdown, LaTeX and CSV here."),
    ] = None,
    batch_size: BatchSize = 1,
    workers: Workers = 2,
    precision: Precision = None,
    device: Device = None,
    imports: Imports = None,
    trust: Trust = False,
) -> None:
    """Compare detectors on the same images, with confidence intervals of their differences.

    The bootstrap draws the same images for all, so that a difference counts even where the values
    themselves vary more from image to image. p is two-sided.

    Examples:

      detzoo compare runs/a-1/best.pt runs/b-1/best.pt --data my_data

      detzoo compare first.json second.json --data annotations.json --images photos -o table
    """
    check_folder(out)
    check_data(*data, *(images or ()))
    if len(set(sources)) < 2 or len(set(sources)) < len(sources):
        raise ConfigError(f"{' '.join(sources)}: give two or more different detectors to compare")
    for source in sources:
        if source.endswith(".json"):
            check_data(Path(source))
        else:
            check_source(source, None)

    from detzoo.analyze import analyze
    from detzoo.analyze.compare import (
        compare as compare_runs,
    )
    from detzoo.analyze.compare import (
        images_sheet,
        metrics_sheet,
        to_latex,
        to_markdown,
        wins,
    )
    from detzoo.cli.detecting import detections_of
    from detzoo.data.union import union

    sets, _ = open_sets(data, images or (), split or "val")
    dataset = union(sets)
    runs = {}
    for source in sources:
        found = detections_of(
            source,
            dataset,
            precision=precision,
            device=device,
            batch_size=batch_size,
            workers=workers,
            trust=trust,
        )
        runs[source] = analyze(found.truth, found.results, found.class_names, resamples=10)
    comparison = compare_runs(runs, resamples=resamples)
    sheets = {"comparison": metrics_sheet(comparison), "wins": wins(comparison)}
    console = plain_console()
    for sheet in sheets.values():
        console.print(to_markdown(sheet), soft_wrap=True, markup=False)
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
            for name, sheet in sheets.items():
                (out / f"{name}.md").write_text(to_markdown(sheet), encoding="utf-8")
                (out / f"{name}.tex").write_text(to_latex(sheet), encoding="utf-8")
                sheet.write(out)
            images_sheet(comparison).write(out)
        except OSError as error:
            raise DataError(
                f"--out {out}: cannot be written ({error.strerror}). Give another folder."
            ) from None
        console.print(f"wrote {out}", soft_wrap=True, markup=False)
