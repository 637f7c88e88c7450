"""Charts as <svg> elements, drawn by matplotlib in the colors of the page.

Matplotlib writes fixed colors and fonts; they are placeholders that are replaced by the page's, so
that charts are readable in light and dark mode.
"""

from __future__ import annotations

import io
import itertools
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TEXT, _LINE, _FIRST, _SECOND, _THIRD = "#010101", "#020202", "#030303", "#040404", "#050505"
_COLORS = {
    _TEXT: "currentColor",
    _LINE: "var(--line)",
    _FIRST: "var(--accent)",
    _SECOND: "var(--second)",
    _THIRD: "var(--muted)",
}
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
Svg = str


def line_chart(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]], x: str, y: str
) -> Svg:
    """Draws lines through the points (xs, ys) of each series, with a y axis from zero."""
    with _drawing((8, 3), x, y) as (axes, svg):
        for (name, (xs, ys)), color in zip(series.items(), itertools.cycle(_SERIES)):
            axes.plot(xs, ys, color=color, label=name, linewidth=1.5)
        axes.set_ylim(bottom=0)
        axes.grid(axis="y")
        _legend(axes, series)
    return svg[0]


def bar_chart(series: Mapping[str, Sequence[float]], names: Sequence[str], x: str) -> Svg:
    """Draws horizontal bars: a row for each of ``names``, with a bar per series."""
    with _drawing((5, 0.8 + 0.22 * len(names)), x, "") as (axes, svg):
        rows, height = np.arange(len(names)), 0.8 / max(len(series), 1)
        for k, ((name, values), color) in enumerate(zip(series.items(), itertools.cycle(_SERIES))):
            offset = (k - (len(series) - 1) / 2) * height
            axes.barh(rows + offset, values, height, color=color, label=name)
        axes.set_yticks(rows, [_shortened(name) for name in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.grid(axis="x")
        _legend(axes, series)
    return svg[0]


def histogram(
    series: Mapping[str, np.ndarray],
    x: str,
    y: str,
    *,
    log: bool = False,
    marks: Mapping[str, Sequence[float]] | None = None,
) -> Svg:
    """Draws the distribution of each series; with ``log``, on a logarithmic axis.

    ``marks`` are named reference positions on the axis.
    """
    values = np.concatenate([*series.values(), np.zeros(0)])
    values = values[values > 0] if log else values
    with _drawing((5, 2.6), x, y) as (axes, svg):
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
        axes.grid(axis="y")
        _legend(axes, [*series, *(marks or ())])
    return svg[0]


def scatter_plot(series: Mapping[str, tuple[np.ndarray, np.ndarray]], x: str, y: str) -> Svg:
    """Draws dots at (xs, ys), larger where many coincide."""
    with _drawing((5, 2.6), x, y) as (axes, svg):
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
    return svg[0]


@contextmanager
def _drawing(size: tuple[float, float], x: str, y: str) -> Iterator[tuple[Axes, list[Svg]]]:
    """Context that yields axes to draw on, and a list that contains the SVG afterwards."""
    # Imported here because it takes a second.
    import matplotlib
    from matplotlib.figure import Figure

    svg: list[Svg] = []
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # The browser has fonts for characters that matplotlib's font lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot(xlabel=x, ylabel=y)
        yield axes, svg
        data = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(data, format="svg", transparent=True, metadata=nothing)
    text = data.getvalue()
    text = text[text.index("<svg") :]
    for placeholder, color in _COLORS.items():
        text = text.replace(placeholder, color)
    svg.append(re.sub(r"font: ([\d.]+px) [^;\"]*", r"font: \1 system-ui, sans-serif", text))


def _edges(values: np.ndarray, log: bool) -> np.ndarray:
    if log and len(values):
        low, high = np.log2(values.min()), np.log2(values.max())
        return 2 ** np.linspace(low, max(high, low + 1), 41)
    if len(values) and (values == np.round(values)).all() and np.ptp(values) < 41:
        return np.arange(values.min() - 0.5, values.max() + 1)
    return np.histogram_bin_edges(values, 40)


def _legend(axes: Axes, names: Mapping[str, object] | Sequence[str]) -> None:
    if len(names) > 1:
        axes.legend()


def _shortened(name: str, most: int = 28) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
