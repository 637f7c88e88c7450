"""Two or more detectors on the same images, compared image by image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from detzoo.analyze.bootstrap import (
    METRICS,
    RESAMPLES,
    Difference,
    Interval,
    difference,
    image_weights,
    intervals,
    metric_samples,
)
from detzoo.analyze.run import Analysis
from detzoo.analyze.sheets import Sheet
from detzoo.errors import DataError


@dataclass(frozen=True)
class Comparison:
    """Metrics of each run, by its name, and how they differ from those of the first one.

    Differences are paired: of all runs on the same resampled images. ``image_errors`` (I,) are the
    errors of each run in each image, at its own threshold.
    """

    metrics: Mapping[str, Mapping[str, Interval]]
    differences: Mapping[str, Mapping[str, Difference]]
    image_errors: Mapping[str, np.ndarray]
    files: Sequence[str]


def compare(
    runs: Mapping[str, Analysis], *, resamples: int = RESAMPLES, seed: int = 0
) -> Comparison:
    """Compares analyses of the same data set.

    Raises :class:`DataError` where they are of different images or objects.
    """
    first, *others = runs
    for name in others:
        a, b = runs[first].matches, runs[name].matches
        if a.truth.image_ids != b.truth.image_ids or not np.array_equal(a.objects, b.objects):
            raise DataError(
                f"{name}: was not evaluated on the same images and classes as {first}, so they "
                "cannot be compared. Evaluate both on the same data."
            )
    weights = image_weights(runs[first].matches.num_images, resamples, seed)
    samples = {name: metric_samples(run.matches, weights) for name, run in runs.items()}
    truth = runs[first].matches.truth
    return Comparison(
        {name: intervals(of) for name, of in samples.items()},
        {
            name: {
                metric: difference(samples[first][metric], samples[name][metric])
                for metric in METRICS
            }
            for name in others
        },
        {name: _errors(run) for name, run in runs.items()},
        truth.paths or tuple(str(one) for one in truth.image_ids),
    )


def _errors(run: Analysis) -> np.ndarray:
    counts = np.zeros(run.matches.num_images, np.int64)
    for row in run.images:
        counts[row.image] = row.total
    return counts


def metrics_sheet(comparison: Comparison) -> Sheet:
    """A row per run and metric: value, interval, difference from the first run, and p-value."""
    rows = []
    for name, metrics in comparison.metrics.items():
        for metric, one in metrics.items():
            found = comparison.differences.get(name, {}).get(metric)
            gap: tuple[float | None, ...] = (None, None, None, None)
            if found is not None:
                of = found.interval
                gap = (of.value, of.low, of.high, found.p_value)
            rows.append((name, metric, one.value, one.low, one.high, *gap))
    header = ("run", "metric", "value", "low", "high", "difference", "from", "to", "p")
    return Sheet("comparison", header, rows, text_columns=2)


def images_sheet(comparison: Comparison) -> Sheet:
    """The errors of every run in every image, those first that differ most."""
    counts = np.stack(list(comparison.image_errors.values()), 1)
    order = np.argsort(-np.ptp(counts, axis=1), kind="stable").tolist()
    rows = [(comparison.files[image], *counts[image].tolist()) for image in order]
    return Sheet("images", ("file", *comparison.image_errors), rows)


def wins(comparison: Comparison) -> Sheet:
    """In how many images each further run has fewer errors than the first, as many, or more."""
    first, *others = comparison.image_errors
    rows = []
    for name in others:
        gap = comparison.image_errors[name] - comparison.image_errors[first]
        rows.append((name, int((gap < 0).sum()), int((gap == 0).sum()), int((gap > 0).sum())))
    return Sheet("wins", ("run", f"better than {first}", "as good", "worse"), rows)


def to_markdown(sheet: Sheet) -> str:
    """A table of Markdown."""
    table = sheet.to_table()
    rule = ["---" if k < table.text_columns else "---:" for k in range(len(table.header))]
    lines = [table.header, rule, *([_markdown(cell) for cell in row] for row in table.rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def to_latex(sheet: Sheet) -> str:
    """A tabular environment with the rules of booktabs."""
    table = sheet.to_table()
    columns = "l" * table.text_columns + "r" * (len(table.header) - table.text_columns)
    head, *body = (" & ".join(map(_latex, row)) + r" \\" for row in (table.header, *table.rows))
    lines = [
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        head,
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _markdown(cell: str) -> str:
    return cell.replace("|", "\\|")


def _latex(cell: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in cell)
