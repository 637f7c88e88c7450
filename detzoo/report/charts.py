"""Charts drawn by matplotlib: for a page, in its colors, and as files of their own.

Matplotlib writes fixed colors and fonts. On a page they become the page's, so that a chart is
readable on a light page and on a dark one.
"""

from __future__ import annotations

import io
import itertools
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Those of style.css on a light page.
_TEXT, _LINE, _FIRST, _SECOND, _THIRD = "#222222", "#cccccc", "#1668c1", "#c2571a", "#666666"
_COLORS = {
    _TEXT: "currentColor",
    _LINE: "var(--line)",
    _FIRST: "var(--accent)",
    _SECOND: "var(--second)",
    _THIRD: "var(--muted)",
}
# Of lines beyond the number of colors.
_DASHES = ("-", "--", ":", "-.")
_CENTERED: Any = {"ha": "center", "va": "center"}
_SERIES = (_FIRST, _SECOND, _THIRD)
_STYLE: Any = {
    "text.color": _TEXT,
    "text.parse_math": False,  # a class name may contain $
    "axes.labelcolor": _TEXT,
    "axes.edgecolor": _LINE,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": _LINE,
    "ytick.color": _LINE,
    "xtick.labelcolor": _TEXT,
    "ytick.labelcolor": _TEXT,
    "grid.color": _LINE,
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "font.size": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "detzoo",
}


@dataclass(frozen=True)
class Drawing:
    """A chart."""

    _figure: Figure

    @property
    def svg(self) -> str:
        """An <svg> element in the colors and fonts of a page."""
        text = self._written("svg", transparent=True).decode("utf-8")
        text = text[text.index("<svg") :]
        for own, color in _COLORS.items():
            text = text.replace(own, color)
        return re.sub(r"font: ([\d.]+px) [^;\"]*", r"font: \1 system-ui, sans-serif", text)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a file in the format of its ending: .svg, .png or .pdf."""
        content = self._written(Path(path).suffix[1:], facecolor="white", dpi=160)
        Path(path).write_bytes(content)

    def _written(self, kind: str, **options: Any) -> bytes:
        import matplotlib

        data = io.BytesIO()
        with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
            # The browser has fonts for names that matplotlib's font cannot show.
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
            nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
            metadata = nothing if kind == "svg" else None
            self._figure.savefig(data, format=kind, metadata=metadata, **options)
        return data.getvalue()


def line_chart(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]], x: str, y: str
) -> Drawing:
    """Lines through the points (xs, ys) of each series, from zero up."""
    with _drawing((8, 3), x, y) as (axes, drawing):
        for k, (name, (xs, ys)) in enumerate(series.items()):
            color, style = _SERIES[k % 3], _DASHES[k // 3 % len(_DASHES)]
            axes.plot(xs, ys, color=color, linestyle=style, label=name, linewidth=1.5)
        axes.set_ylim(bottom=0)
        axes.grid(axis="y")
        _legend(axes, series)
    return drawing


def bar_chart(series: Mapping[str, Sequence[float]], names: Sequence[str], x: str) -> Drawing:
    """Horizontal bars, a row for each of ``names`` and a bar in it for each of the series."""
    with _drawing((5, 0.8 + 0.22 * len(names)), x, "") as (axes, drawing):
        rows, height = np.arange(len(names)), 0.8 / max(len(series), 1)
        for k, ((name, values), color) in enumerate(zip(series.items(), itertools.cycle(_SERIES))):
            offset = (k - (len(series) - 1) / 2) * height
            axes.barh(rows + offset, values, height, color=color, label=name)
        axes.set_yticks(rows, [_shortened(name) for name in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.grid(axis="x")
        _legend(axes, series)
    return drawing


def histogram(
    series: Mapping[str, np.ndarray],
    x: str,
    y: str,
    *,
    log: bool = False,
    marks: Mapping[str, Sequence[float]] | None = None,
) -> Drawing:
    """How the numbers of each series are distributed; with ``log``, over a logarithmic axis.

    ``marks`` are named reference positions on the axis.
    """
    values = np.concatenate([*series.values(), np.zeros(0)])
    values = values[values > 0] if log else values
    with _drawing((5, 2.6), x, y) as (axes, drawing):
        if log:
            axes.set_xscale("log", base=2)
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        for (name, numbers), color in zip(series.items(), itertools.cycle(_SERIES)):
            shown = numbers[numbers > 0] if log else numbers
            edges = _edges(values, log).tolist()
            axes.hist(shown, edges, color=color, label=name, alpha=0.7)
        for name, positions in (marks or {}).items():
            for k, position in enumerate(positions):
                label = None if k else name
                axes.axvline(position, color=_TEXT, linewidth=1, linestyle=":", label=label)
        axes.locator_params(axis="y", integer=True)
        axes.grid(axis="y")
        _legend(axes, [*series, *(marks or ())])
    return drawing


def scatter_plot(series: Mapping[str, tuple[np.ndarray, np.ndarray]], x: str, y: str) -> Drawing:
    """Dots at (xs, ys); where many lie on each other, they are larger."""
    with _drawing((5, 2.6), x, y) as (axes, drawing):
        for (name, (xs, ys)), color in zip(series.items(), itertools.cycle(_SERIES)):
            points, counts = np.unique(np.stack([xs, ys], 1), axis=0, return_counts=True)
            size = 12 + 60 * counts / counts.max()
            axes.scatter(
                points[:, 0], points[:, 1], size, color, alpha=0.6, linewidths=0, label=name
            )
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.grid()
        _legend(axes, series)
    return drawing


def heat_map(values: np.ndarray, rows: Sequence[str], columns: Sequence[str]) -> Drawing:
    """A grid of parts from 0 to 1 (R, C), each with its number."""
    size = 2 + 0.42 * len(columns), 1.2 + 0.34 * len(rows)
    with _drawing(size, "", "") as (axes, drawing):
        axes.set_xlim(-0.5, len(columns) - 0.5)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        for row, column in np.argwhere(values >= 0.005).tolist():
            value = float(values[row, column])
            cell = (column - 0.5, row - 0.5)
            # Rectangles, since a picture would not follow the colors of the page.
            axes.add_patch(_rectangle(cell, value))
            axes.text(column, row, f"{value:.2f}"[1:] if value < 1 else "1", size=7, **_CENTERED)
        axes.set_xticks(range(len(columns)), [_shortened(name) for name in columns], rotation=90)
        axes.set_yticks(range(len(rows)), [_shortened(name) for name in rows])
        axes.tick_params(length=0)
    return drawing


def _rectangle(corner: tuple[float, float], value: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(corner, 1, 1, facecolor=_FIRST, alpha=0.15 + 0.6 * value, linewidth=0)


@contextmanager
def _drawing(size: tuple[float, float], x: str, y: str) -> Iterator[tuple[Axes, Drawing]]:
    """Axes to draw on, and the drawing that they are part of."""
    # Imported here because it takes a second.
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        yield figure.add_subplot(xlabel=x, ylabel=y), Drawing(figure)


def _edges(values: np.ndarray, log: bool) -> np.ndarray:
    if log and len(values):
        low, high = np.log2(values.min()), np.log2(values.max())
        return 2 ** np.linspace(low, max(high, low + 1), 41)
    if len(values) and (values == np.round(values)).all() and np.ptp(values) < 41:
        return np.arange(values.min() - 0.5, values.max() + 1)
    return np.histogram_bin_edges(values, 40)


def _legend(axes: Axes, names: Mapping[str, object] | Sequence[str]) -> None:
    """Where it covers nothing: above the axes, or beside them where there are many names."""
    if len(names) > len(_SERIES):
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    elif len(names) > 1:
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(names), borderaxespad=0.2)


def _shortened(name: str, most: int = 28) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
