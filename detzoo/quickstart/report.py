"""A self-contained HTML report on a training run: loss curve, metrics, pictures."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from detzoo.evaluate import Metrics

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; background: #fff; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; } td, th { padding: .2rem .9rem; text-align: right; }
th { border-bottom: 1px solid #999; } td:first-child, th:first-child { text-align: left; }
.pictures { display: grid; gap: 1rem;
            grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); }
figure { margin: 0; } img { width: 100%; } figcaption { color: #666; font-size: .85rem; }
"""
# Size of the plot and margins for its labels, in SVG units.
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 760, 260, 50, 30


@dataclass(frozen=True)
class Picture:
    """A JPEG file and its caption."""

    path: Path
    caption: str


def write_report(
    path: Path,
    metrics: Metrics,
    pictures: Sequence[Picture],
    *,
    log: Path,
    facts: Sequence[str],
) -> Path:
    """Writes the report to ``path`` and returns it; ``log`` is the run's ``metrics.jsonl``."""
    losses = read_losses(log)
    sections = (
        f"<ul>{''.join(f'<li>{escape(fact)}</li>' for fact in facts)}</ul>",
        f"<h2>Loss</h2>{loss_curve(losses)}",
        f"<h2>Metrics on held-out scenes</h2>{_metrics_table(metrics)}",
        f"<h2>Per class</h2>{_class_table(metrics)}",
        f'<h2>Pictures</h2><div class="pictures">{"".join(map(_figure, pictures))}</div>',
    )
    title = "detzoo quickstart"
    path.write_text(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>{''.join(sections)}</body></html>\n",
        encoding="utf-8",
    )
    return path


def read_losses(log: Path) -> list[tuple[int, float]]:
    """(iteration, total loss) of the training records in a ``metrics.jsonl``."""
    records = [json.loads(line) for line in log.read_text().splitlines()]
    return [(r["iteration"], r["loss"]) for r in records if r["kind"] == "train"]


def loss_curve(points: Sequence[tuple[int, float]]) -> str:
    """The loss curve as SVG, starting from zero, over iterations."""
    if not points:
        return "<p>No steps were logged.</p>"
    last = max(iteration for iteration, _ in points)
    top = _round_up(max(loss for _, loss in points))

    def x(iteration: float) -> float:
        return _LEFT + iteration / last * (_WIDTH - _LEFT - 10)

    def y(loss: float) -> float:
        return (1 - loss / top) * (_HEIGHT - _BOTTOM - 10) + 10

    lines = []
    for i in range(5):
        loss = top * i / 4
        lines.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - 10}" y1="{y(loss):.1f}" y2="{y(loss):.1f}" '
            'stroke="#ddd"/>'
            f'<text x="{_LEFT - 6}" y="{y(loss) + 4:.1f}" text-anchor="end">{loss:g}</text>'
        )
        iteration = last * i / 4
        lines.append(
            f'<text x="{x(iteration):.1f}" y="{_HEIGHT - 8}" text-anchor="middle">'
            f"{iteration:.0f}</text>"
        )
    path = " ".join(f"{x(iteration):.1f},{y(loss):.1f}" for iteration, loss in points)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="training loss" '
        'font-size="12" fill="#666">'
        f"{''.join(lines)}"
        f'<polyline points="{path}" fill="none" stroke="#1668c1" stroke-width="2"/></svg>'
    )


def _round_up(value: float) -> float:
    """The next larger number of the form 1, 2, 4 or 8 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(max(value, 1e-9)))
    return next(step * power for step in (1, 2, 4, 8, 10) if step * power >= value)


def _metrics_table(metrics: Metrics) -> str:
    kinds = list(dict.fromkeys(name.split("/")[0] for name in metrics.values))
    names = list(dict.fromkeys(name.split("/")[1] for name in metrics.values))
    rows = [
        [name, *(_number(metrics.values.get(f"{kind}/{name}")) for kind in kinds)] for name in names
    ]
    return _table(["", *({"bbox": "boxes", "segm": "masks"}.get(k, k) for k in kinds)], rows)


def _class_table(metrics: Metrics) -> str:
    columns = {n: v for n, v in metrics.per_class.items() if n in ("bbox/AP", "segm/AP")}
    labels = list(dict.fromkeys(label for values in columns.values() for label in values))
    rows = [[label, *(_number(v.get(label)) for v in columns.values())] for label in labels]
    titles = {"bbox/AP": "box AP", "segm/AP": "mask AP"}
    return _table(["class", *(titles[name] for name in columns)], rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _number(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"


def _figure(picture: Picture) -> str:
    data = base64.b64encode(picture.path.read_bytes()).decode("ascii")
    caption = escape(picture.caption)
    return (
        f'<figure><img src="data:image/jpeg;base64,{data}" alt="{caption}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )
