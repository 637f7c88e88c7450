"""The page on a training run, made of the files in its folder."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from detzoo.config import diff
from detzoo.experiment import Experiment
from detzoo.logs import RunLog, read_log
from detzoo.report import (
    Chart,
    Charts,
    Gallery,
    Page,
    Picture,
    Section,
    Table,
    Text,
    line_chart,
    write_page,
)
from detzoo.train.callbacks.pictures import FOLDER

FILE = "report.html"
# Of the pictures that were written, those of so many evaluations, evenly spread.
MOST_EVALUATIONS = 6
MOST_METRICS = 6


def write_run_report(
    run_dir: Path, facts: Sequence[str] = (), recipe: tuple[Experiment, Experiment] | None = None
) -> Path | None:
    """Writes ``report.html`` into the folder of a run and returns its path; None if nothing was
    logged.

    ``facts`` are lines at its top; ``recipe`` is the experiment as it is in the zoo, and as it was
    trained.
    """
    log = read_log(run_dir)
    if not log.records:
        return None
    sections = [
        *curves(log),
        *_metrics(log),
        *pictures(run_dir),
        *([] if recipe is None else [_changes(*recipe)]),
    ]
    return write_page(run_dir / FILE, Page(f"Training run {run_dir.name}", sections, facts))


def curves(log: RunLog) -> list[Section]:
    """Losses, learning rate and metrics over the iterations."""
    losses = [key for key in _keys(log, "train") if "loss" in key]
    parts = [key for key in losses if key != "loss"]
    charts = [_chart(log, ["loss"], "loss")] if "loss" in losses else []
    if len(parts) > 1:
        charts.append(_chart(log, parts, "parts of the loss"))
    if "lr" in _keys(log, "train"):
        charts.append(_chart(log, ["lr"], "learning rate"))
    sections = [Section("Losses", [Charts(charts)])] if charts else []
    shown = [key for key in _keys(log, "val") if _is_finite(log, key)][:MOST_METRICS]
    if shown:
        sections.append(Section("Metrics over time", [Charts([_chart(log, shown, "metric")])]))
    return sections


def _keys(log: RunLog, kind: str) -> list[str]:
    rows = (record.values for record in log.records if record.kind == kind)
    return list(dict.fromkeys(key for row in rows for key in row))


def _is_finite(log: RunLog, key: str) -> bool:
    return any(math.isfinite(value) for value in log.curve(key, "iteration")[1])


def _chart(log: RunLog, keys: Sequence[str], y: str) -> Chart:
    return Chart(line_chart({key: log.curve(key, "iteration") for key in keys}, "iteration", y))


def _metrics(log: RunLog) -> list[Section]:
    """The last value and the best one of every metric, and when it was reached."""
    evaluations = [record for record in log.records if record.kind == "val"]
    if not evaluations:
        return []
    rows = []
    for key in _keys(log, "val"):
        values = [(r.values.get(key, math.nan), r.iteration) for r in evaluations]
        finite = [pair for pair in values if math.isfinite(pair[0])]
        if not finite:
            continue
        best, iteration = max(finite)
        rows.append([key, f"{values[-1][0]:.3f}", f"{best:.3f}", f"{iteration:,}"])
    return [Section("Metrics", [Table(["metric", "last", "best", "at iteration"], rows)])]


def pictures(run_dir: Path) -> list[Section]:
    """The same images from evaluation to evaluation, beside their objects."""
    folder = run_dir / FOLDER
    steps = sorted({path.stem.split("-")[0] for path in folder.glob("0*-*.jpg")})
    if not steps:
        return []
    count = min(len(steps), MOST_EVALUATIONS)
    chosen = [steps[round(k * (len(steps) - 1) / max(count - 1, 1))] for k in range(count)]
    blocks: list[Text | Gallery] = []
    for k in range(len(list(folder.glob("truth-*.jpg")))):
        shown = [("truth", "objects")] + [(step, f"after {int(step):,} steps") for step in chosen]
        files = [(folder / f"{name}-{k}.jpg", caption) for name, caption in shown]
        row = [Picture(file.read_bytes(), text) for file, text in files if file.is_file()]
        blocks.append(Gallery(row))
    return [Section("Validation images over time", blocks)]


def _changes(recipe: Experiment, trained: Experiment) -> Section:
    rows = [
        [path, _text(before), _text(after)]
        for path, before, after in diff(recipe, trained)
        if path != "class_names"
    ]
    title = "Settings that differ from the recipe"
    if not rows:
        return Section(title, [Text(["None."])])
    return Section(title, [Table(["setting", "recipe", "this run"], rows, text_columns=3)])


def _text(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:79]}…"
