"""The report of the quickstart: loss curve, metrics, pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence

from detzoo.evaluate import Metrics
from detzoo.logs import RunLog
from detzoo.report import Gallery, Page, Picture, Section, Table
from detzoo.run_report import curves

_UNDEFINED = "-"


def report(
    metrics: Metrics,
    pictures: Sequence[Picture],
    log: RunLog,
    facts: Sequence[str],
) -> Page:
    """The page on a run: its curves, the metrics on held-out scenes, and pairs of pictures of
    these."""
    sections = (
        *curves(log),
        Section("Metrics on held-out scenes", (_metrics_table(metrics), _class_table(metrics))),
        Section("Shapes, and what was detected", (Gallery(pictures, pairs=True),)),
    )
    return Page("detzoo quickstart", sections, facts)


def _metrics_table(metrics: Metrics) -> Table:
    kinds = list(dict.fromkeys(name.split("/")[0] for name in metrics.values))
    names = list(dict.fromkeys(name.split("/")[1] for name in metrics.values))
    rows = [
        [name, *(_number(metrics.values.get(f"{kind}/{name}")) for kind in kinds)] for name in names
    ]
    # No scene has large objects.
    rows = [row for row in rows if any(cell != _UNDEFINED for cell in row[1:])]
    return Table(["", *({"bbox": "boxes", "segm": "masks"}.get(k, k) for k in kinds)], rows)


def _class_table(metrics: Metrics) -> Table:
    columns = {n: v for n, v in metrics.per_class.items() if n in ("bbox/AP", "segm/AP")}
    labels = list(dict.fromkeys(label for values in columns.values() for label in values))
    rows = [[label, *(_number(v.get(label)) for v in columns.values())] for label in labels]
    titles = {"bbox/AP": "box AP", "segm/AP": "mask AP"}
    return Table(["class", *(titles[name] for name in columns)], rows)


def _number(value: float | None) -> str:
    return _UNDEFINED if value is None or math.isnan(value) else f"{value:.3f}"
