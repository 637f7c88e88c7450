"""The report on a detector: its page, and its tables and charts as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detzoo.analyze.pictures import Album
from detzoo.analyze.run import Analysis
from detzoo.analyze.sheets import Sheet, sheets
from detzoo.analyze.suspects import MEANINGS
from detzoo.analyze.tide import ERRORS
from detzoo.analyze.tide import MEANINGS as ERROR_MEANINGS
from detzoo.errors import DataError
from detzoo.files import write_json
from detzoo.report import (
    Chart,
    Charts,
    Drawing,
    Gallery,
    Page,
    Section,
    Table,
    Text,
    bar_chart,
    heat_map,
    line_chart,
    write_page,
)

# More classes than these are tables alone.
CHARTED_CLASSES = 5
CONFUSED_CLASSES = 30
LISTED = 100
LISTED_CONFUSIONS = 20
PICTURES_OF_A_KIND = 4


def write_report(
    analysis: Analysis, folder: Path, title: str, facts: Sequence[str], album: Album | None
) -> Path:
    """Writes index.html, analysis.json, a CSV file for every table, and an SVG and a PNG file for
    every chart into ``folder``, which is made. Returns the path of the page.

    Raises :class:`DataError` where that is impossible.
    """
    tables, drawings = sheets(analysis), charts(analysis)
    page = _page(analysis, tables, drawings, title, facts, album)
    file = write_page(folder / "index.html", page)
    try:
        for sheet in tables.values():
            sheet.write(folder)
        for name, drawing in drawings.items():
            for ending in ("svg", "png"):
                drawing.save(folder / f"{name}.{ending}")
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error.strerror}).") from None
    write_json(folder / "analysis.json", to_json(analysis, tables))
    return file


def to_json(analysis: Analysis, tables: dict[str, Sheet] | None = None) -> dict[str, object]:
    """All figures except those of the curves, which are long."""
    tables = sheets(analysis) if tables is None else tables
    return {
        "kind": analysis.matches.kind,
        "threshold": analysis.threshold,
        "thresholds": analysis.thresholds,
        "d_ece": analysis.calibration.d_ece,
        "la_ece": _or_none(analysis.calibration.la_ece),
        **{name: sheet.to_json() for name, sheet in tables.items() if name != "curves"},
    }


def charts(analysis: Analysis) -> dict[str, Drawing]:
    """All charts, by the names of their files."""
    curves = {"all": analysis.overall}
    largest = sorted(analysis.classes, key=lambda row: -row.objects)[:CHARTED_CLASSES]
    if len(analysis.classes) > 1:
        curves |= {row.name: analysis.curves[row.name] for row in largest}
    errors = analysis.errors
    of = analysis.calibration
    full = of.counts > 0
    drawings = {
        "precision_recall": line_chart(
            {name: (c.recall.tolist(), c.precision.tolist()) for name, c in curves.items()},
            "recall",
            "precision",
        ),
        "f1": line_chart(
            {name: (c.scores.tolist(), c.f1.tolist()) for name, c in curves.items()},
            "minimum score",
            "F1",
        ),
        "errors": bar_chart(
            {"AP50 gained": [errors.gains[name] for name in (*ERRORS, "Miss")]},
            (*ERRORS, "Miss"),
            "AP50 that correcting them gains",
        ),
        "reliability": line_chart(
            {
                "detector": (of.scores[full].tolist(), of.precision[full].tolist()),
                "calibrated": ([0, 1], [0, 1]),
            },
            "mean score",
            "precision",
        ),
    }
    if len(analysis.matches.class_names) <= CONFUSED_CLASSES:
        names = analysis.matches.class_names
        drawings["confusion"] = heat_map(
            _normalized(analysis.confusion), (*names, "background"), (*names, "not found")
        )
    return drawings


def _page(
    analysis: Analysis,
    tables: dict[str, Sheet],
    drawings: dict[str, Drawing],
    title: str,
    facts: Sequence[str],
    album: Album | None,
) -> Page:
    threshold = f"{analysis.threshold:.3f}"
    sections = [
        Section(
            "Metrics",
            [
                tables["metrics"].to_table(),
                Text(
                    [
                        "Intervals are those of the bootstrap over images: how far a value would "
                        "move with other images of the same kind."
                    ]
                ),
            ],
        ),
        Section(
            "Classes",
            [
                Text(
                    [
                        "Threshold is the score with the best F1 at an IoU of .5; precision and "
                        f"recall are those at it. For all classes together it is {threshold}."
                    ]
                ),
                tables["classes"].to_table(),
                Charts([Chart(drawings["precision_recall"]), Chart(drawings["f1"])]),
            ],
        ),
        Section(
            "What errors cost",
            [
                Text(
                    [
                        "By how much AP50 would rise if one kind of error were corrected and the "
                        "others were not (TIDE)."
                    ]
                ),
                Charts([Chart(drawings["errors"])]),
                tables["errors"].to_table(),
            ],
        ),
        Section("Confusion", _confusion_blocks(tables, drawings, threshold)),
        Section(
            "False positives by class",
            [
                Text([f"Detections with a score of {threshold} or more."]),
                tables["false_positives"].to_table(LISTED),
            ],
        ),
        Section("Which objects are found", [tables["groups"].to_table()]),
        Section(
            "Calibration",
            [
                Text(
                    [
                        f"D-ECE {analysis.calibration.d_ece:.3f}, LaECE "
                        f"{analysis.calibration.la_ece:.3f}. On the dotted diagonal, a score says "
                        "how often a detection is right."
                    ]
                ),
                Charts([Chart(drawings["reliability"])]),
                tables["calibration"].to_table(),
            ],
        ),
    ]
    if album is not None:
        sections += _worst(analysis, album)
        sections.append(_suspicious(analysis, album))
    else:
        sections.append(Section("Images with the most errors", [tables["images"].to_table(LISTED)]))
    return Page(title, sections, facts)


def _confusion_blocks(
    tables: dict[str, Sheet], drawings: dict[str, Drawing], threshold: str
) -> list[Text | Charts | Table]:
    text = Text(
        [
            f"Rows are objects, columns what was detected with a score of {threshold} or more; the "
            "last row counts detections where there is no object. confusion.csv has the counts."
        ]
    )
    blocks: list[Text | Charts | Table] = [text]
    if "confusion" in drawings:
        blocks.append(Charts([Chart(drawings["confusion"], "parts of each row")]))
    if tables["confusions"].rows:
        blocks.append(tables["confusions"].to_table(LISTED_CONFUSIONS))
    return blocks


def _worst(analysis: Analysis, album: Album) -> list[Section]:
    """The images with the most errors of each kind: truth on the left, detections on the right."""
    sections = []
    names = [*ERRORS, "Missed"]
    for name in names:
        rows = [row for row in analysis.images if row.counts[name]]
        rows.sort(key=lambda row: -row.counts[name])
        pictures = []
        for row in rows[:PICTURES_OF_A_KIND]:
            caption = f"{row.counts[name]} x {name}, {row.total} errors in all"
            pictures += album.pair(row.image, analysis.threshold, caption)
        if pictures:
            meaning = ERROR_MEANINGS.get(name, "objects that were not found")
            title = f"Images with the most errors of the kind {name}: {meaning}"
            sections.append(Section(title, [Gallery(pictures, pairs=True)]))
    return sections


def _suspicious(analysis: Analysis, album: Album) -> Section:
    """Where the annotations are perhaps wrong."""
    matches = analysis.matches
    blocks: list[Text | Gallery] = [
        Text(
            [
                "Where a confident detection and the annotations disagree, the annotations may be "
                "wrong. suspects.csv lists all."
            ]
        )
    ]
    for kind, meaning in MEANINGS.items():
        found = [one for one in analysis.suspects if one.kind == kind]
        if not found:
            continue
        pictures = []
        for one in found[: 2 * PICTURES_OF_A_KIND]:
            name = matches.class_names[matches.label[one.detection]]
            caption = f"detected: {name} {matches.score[one.detection]:.2f}"
            if one.object is not None:
                caption += f"; annotated: {matches.class_names[matches.object_label[one.object]]}"
            pictures += album.close_up(
                int(matches.image[one.detection]), matches.boxes[one.detection], caption
            )
        blocks += [
            Text([f"{meaning[0].upper()}{meaning[1:]}: {len(found)}."]),
            Gallery(pictures),
        ]
    return Section("Suspected annotation errors", blocks)


def _normalized(counts: np.ndarray) -> np.ndarray:
    """Parts of each row; rows without objects are 0."""
    total = counts.sum(1, keepdims=True)
    return np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value
