"""The figures of an analysis as tables, for files and for the page."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detzoo.analyze import suspects, tide
from detzoo.analyze.run import Analysis
from detzoo.report import Table

Cell = str | int | float | None


@dataclass(frozen=True)
class Sheet:
    """A table with numbers as they are; ``name`` is that of its file. The first ``text_columns``
    are names."""

    name: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    text_columns: int = 1

    def to_table(self, most: int | None = None) -> Table:
        """For a page: numbers are rounded; rows after ``most`` are counted."""
        rows = [[_shown(cell) for cell in row] for row in self.rows[:most]]
        if most is not None and len(self.rows) > most:
            rows.append([f"and {len(self.rows) - most} more"])
        return Table(self.header, rows, self.text_columns)

    def write(self, folder: Path) -> None:
        with open(folder / f"{self.name}.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(self.header)
            writer.writerows(self.rows)

    def to_json(self) -> list[dict[str, Cell]]:
        """A dict for each row; NaN becomes None."""
        return [dict(zip(self.header, map(_defined, row))) for row in self.rows]


def sheets(analysis: Analysis) -> dict[str, Sheet]:
    """All tables of an analysis, by name."""
    made = (
        _metrics(analysis),
        _classes(analysis),
        _errors(analysis),
        _confusion(analysis),
        _confusions(analysis),
        _false_positives(analysis),
        _groups(analysis),
        _calibration(analysis),
        _curves(analysis),
        _images(analysis),
        _suspects(analysis),
    )
    return {sheet.name: sheet for sheet in made}


def _metrics(analysis: Analysis) -> Sheet:
    rows: list[tuple[Cell, ...]] = [
        (name, one.value, one.low, one.high) for name, one in analysis.metrics.items()
    ]
    level = next(iter(analysis.metrics.values())).level
    return Sheet("metrics", ("metric", "value", f"low ({level:.0%})", f"high ({level:.0%})"), rows)


def _classes(analysis: Analysis) -> Sheet:
    header = ("class", "objects", "detections", "AP", "AP50", "threshold", "precision", "recall")
    rows = [
        (
            row.name,
            row.objects,
            row.detections,
            row.ap,
            row.ap50,
            row.threshold,
            row.precision,
            row.recall,
        )
        for row in analysis.classes
    ]
    return Sheet("classes", header, rows)


def _errors(analysis: Analysis) -> Sheet:
    errors = analysis.errors
    rows = [
        (name, meaning, errors.counts[name], errors.gains[name])
        for name, meaning in tide.MEANINGS.items()
    ]
    return Sheet("errors", ("error", "what it is", "number", "AP50 gained"), rows, text_columns=2)


def _confusion(analysis: Analysis) -> Sheet:
    names = analysis.matches.class_names
    rows = [
        (name, *counts) for name, counts in zip((*names, "background"), analysis.confusion.tolist())
    ]
    return Sheet("confusion", ("object", *names, "not found"), rows)


def _confusions(analysis: Analysis) -> Sheet:
    """The pairs of different classes, the most frequent first."""
    names = analysis.matches.class_names
    counts = analysis.confusion[:-1, :-1]
    pairs = [(i, j) for i, j in np.argwhere(counts).tolist() if i != j]
    pairs.sort(key=lambda pair: -counts[pair])
    objects = np.maximum(analysis.confusion.sum(1), 1)
    rows = [
        (names[i], names[j], int(counts[i, j]), float(counts[i, j] / objects[i])) for i, j in pairs
    ]
    header = ("object", "detected as", "number", "part of its objects")
    return Sheet("confusions", header, rows, text_columns=2)


def _false_positives(analysis: Analysis) -> Sheet:
    """By class, from the threshold on."""
    matches, kinds = analysis.matches, analysis.errors.kinds
    shown = matches.score >= analysis.threshold
    found = []
    for label, name in enumerate(matches.class_names):
        mine = shown & (matches.label == label)
        counts = [int((mine & (kinds == k)).sum()) for k in range(len(tide.ERRORS))]
        if sum(counts):
            found.append((sum(counts), name, int(mine.sum()), counts))
    found.sort(key=lambda row: -row[0])
    rows: list[tuple[Cell, ...]] = [
        (name, number, wrong, *counts) for wrong, name, number, counts in found
    ]
    header = ("class", "detections", "wrong", *tide.ERRORS)
    return Sheet("false_positives", header, rows)


def _groups(analysis: Analysis) -> Sheet:
    rows = [
        (one.kind, one.name, one.count, one.recall, one.recall_above, one.mean_iou)
        for one in analysis.groups
    ]
    header = ("by", "group", "objects", "recall", "recall at threshold", "mean IoU")
    return Sheet("groups", header, rows, text_columns=2)


def _calibration(analysis: Analysis) -> Sheet:
    of = analysis.calibration
    count = len(of.counts)
    rows = [
        (f"{k / count:.1f} to {(k + 1) / count:.1f}", *row)
        for k, row in enumerate(zip(of.counts.tolist(), of.scores.tolist(), of.precision.tolist()))
    ]
    return Sheet("calibration", ("score", "detections", "mean score", "precision"), rows)


def _curves(analysis: Analysis) -> Sheet:
    rows = [
        (name, *row)
        for name, of in {"all": analysis.overall, **analysis.curves}.items()
        for row in zip(
            of.scores.tolist(), of.precision.tolist(), of.recall.tolist(), of.f1.tolist()
        )
    ]
    return Sheet("curves", ("class", "score", "precision", "recall", "F1"), rows)


def _images(analysis: Analysis) -> Sheet:
    truth = analysis.matches.truth
    names = list(analysis.images[0].counts)
    rows = [
        (_file(analysis, row.image), truth.image_ids[row.image], row.total, *row.counts.values())
        for row in analysis.images
    ]
    return Sheet("images", ("file", "id", "errors", *names), rows)


def _suspects(analysis: Analysis) -> Sheet:
    matches = analysis.matches
    rows = []
    for one in analysis.suspects:
        annotated = None if one.object is None else matches.object_label[one.object]
        rows.append(
            (
                suspects.MEANINGS[one.kind],
                _file(analysis, int(matches.image[one.detection])),
                matches.class_names[matches.label[one.detection]],
                "" if annotated is None else matches.class_names[annotated],
                float(matches.score[one.detection]),
                *matches.boxes[one.detection].tolist(),
            )
        )
    header = ("suspicion", "file", "detected", "annotated", "score", "x", "y", "width", "height")
    return Sheet("suspects", header, rows, text_columns=4)


def _file(analysis: Analysis, image: int) -> str:
    truth = analysis.matches.truth
    return truth.paths[image] if truth.paths else str(truth.image_ids[image])


def _defined(cell: Cell) -> Cell:
    return None if isinstance(cell, float) and math.isnan(cell) else cell


def _shown(cell: Cell) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return "-"
    if isinstance(cell, float):
        return f"{cell:.3f}"
    return f"{cell:,}" if isinstance(cell, int) else cell
