"""The report of the quickstart: loss curve, metrics, pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from detzoo.evaluate import Metrics
from detzoo.report import Chart, Gallery, Page, Picture, Section, Table, Text, line_chart


def report(
    metrics: Metrics,
    pictures: Sequence[Picture],
    losses: Sequence[tuple[int, float]],
    facts: Sequence[str],
) -> Page:
    """Builds the report of a run; ``losses`` are those of :func:`read_losses`."""
    sections = (
        Section("Loss", (_loss_curve(losses),)),
        Section("Metrics on held-out scenes", (_metrics_table(metrics),)),
        Section("Per class", (_class_table(metrics),)),
        Section("Pictures", (Gallery(pictures),)),
    )
    return Page("detzoo quickstart", sections, facts)


def read_losses(log: Path) -> list[tuple[int, float]]:
    """Reads (iteration, total loss) of the training records in a ``metrics.jsonl``."""
    records = [json.loads(line) for line in log.read_text().splitlines()]
    return [(r["iteration"], r["loss"]) for r in records if r["kind"] == "train"]


def _loss_curve(losses: Sequence[tuple[int, float]]) -> Chart | Text:
    if not losses:
        return Text(["No steps were logged."])
    iterations, values = zip(*losses)
    return Chart(line_chart({"loss": (iterations, values)}, "iteration", "loss"))


def _metrics_table(metrics: Metrics) -> Table:
    kinds = list(dict.fromkeys(name.split("/")[0] for name in metrics.values))
    names = list(dict.fromkeys(name.split("/")[1] for name in metrics.values))
    rows = [
        [name, *(_number(metrics.values.get(f"{kind}/{name}")) for kind in kinds)] for name in names
    ]
    return Table(["", *({"bbox": "boxes", "segm": "masks"}.get(k, k) for k in kinds)], rows)


def _class_table(metrics: Metrics) -> Table:
    columns = {n: v for n, v in metrics.per_class.items() if n in ("bbox/AP", "segm/AP")}
    labels = list(dict.fromkeys(label for values in columns.values() for label in values))
    rows = [[label, *(_number(v.get(label)) for v in columns.values())] for label in labels]
    titles = {"bbox/AP": "box AP", "segm/AP": "mask AP"}
    return Table(["class", *(titles[name] for name in columns)], rows)


def _number(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"
