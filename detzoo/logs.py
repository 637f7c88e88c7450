"""Reads logs of training runs: detzoo's ``metrics.jsonl`` and MMDetection's ``.log.json``."""

from __future__ import annotations

import json
import math
import re
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from detzoo.errors import DataError
from detzoo.files import check_regular

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Axis = Literal["epoch", "iteration"]

# Fields that identify a record; all others are measurements.
_PLACE = frozenset({"kind", "mode", "iteration", "iter", "epoch"})

# What V2 adds to bbox_mAP: AP at one IoU, or over objects of one size.
_OLD_METRIC = re.compile(r"(bbox|segm)_mAP(?:_(50|75|s|m|l))?")
_NEW_METRIC = re.compile(r"(bbox|segm)/AP(50|75|s|m|l)?")

# A loss has diverged if it ends above this multiple of its first value, unless it is small, or
# above any loss that detectors start with.
_LARGEST_RISE = 20.0
_SMALL_LOSS = 100.0
_LARGEST_LOSS = 1e5


@dataclass(frozen=True)
class LogRecord:
    """Named values at one point of training. ``epoch`` is the fractional number of epochs done."""

    kind: Literal["train", "val"]
    epoch: float
    iteration: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class RunLog:
    """The records of one run, in order. ``name`` is the name of its folder or file."""

    name: str
    source: str
    records: tuple[LogRecord, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of all values, in the order of their first appearance."""
        return tuple(dict.fromkeys(key for record in self.records for key in record.values))

    def curve(self, key: str, axis: Axis) -> tuple[list[float], list[float]]:
        """Returns positions and values of ``key``, in detzoo's or in MMDetection's spelling.

        Raises :class:`DataError` if there are none.
        """
        known = next((name for name in (key, other_spelling(key)) if name in self.keys), key)
        points = [
            (float(getattr(record, axis)), record.values[known])
            for record in self.records
            if known in record.values
        ]
        if not points:
            raise DataError(f"{self.source}: has no {key!r}; it has {', '.join(self.keys)}.")
        return [x for x, _ in points], [y for _, y in points]


@dataclass(frozen=True)
class EpochTimes:
    """Mean seconds per step, per epoch (counted from 1) and over all epochs."""

    mean: float
    deviation: float
    slowest: tuple[int, float]
    fastest: tuple[int, float]


def read_log(path: Path) -> RunLog:
    """Reads a log from a file or a run folder.

    Raises :class:`DataError` naming the file, and the line that cannot be read.
    """
    file = path / "metrics.jsonl" if path.is_dir() else path
    rows = _read_rows(file)
    is_ours = any("kind" in row for row in rows.values())
    is_theirs = any("mode" in row for row in rows.values())
    if not is_ours and not is_theirs:
        raise DataError(
            f"{file}: is not a training log: neither detzoo's metrics.jsonl nor MMDetection's "
            ".log.json."
        )
    name = file.parent.name if file.name == "metrics.jsonl" else file.name.removesuffix(".log.json")
    records = (_ours if is_ours else _theirs)(rows, file)
    return RunLog(name or file.stem, str(file), tuple(records))


def divergence(log: RunLog) -> str | None:
    """Describes how the loss diverged; None if it did not."""
    losses = [
        record.values["loss"]
        for record in log.records
        if record.kind == "train" and "loss" in record.values
    ]
    if not losses:
        return None
    bound = min(_LARGEST_LOSS, max(_SMALL_LOSS, _LARGEST_RISE * losses[0]))
    if losses[-1] <= bound:
        return None
    return (
        f"the loss ended at {losses[-1]:.3g}, after {losses[0]:.3g} at the start: the training "
        "diverged, and its weights are useless. Start over with a lower learning rate (--set "
        "optimizer.lr=...), a longer warm-up, or gradient clipping (--set max_gradient_norm=35)"
    )


def epoch_times(log: RunLog) -> EpochTimes:
    """Returns how long steps took. Raises :class:`DataError` if the log does not contain it."""
    by_epoch: dict[int, list[float]] = defaultdict(list)
    for record in log.records:
        seconds = record.values.get("step_time", record.values.get("time"))
        if record.kind == "train" and seconds is not None and math.isfinite(seconds):
            by_epoch[max(1, math.ceil(record.epoch))].append(seconds)
    if not by_epoch:
        raise DataError(f"{log.source}: contains no step times.")
    means = {epoch: statistics.fmean(times) for epoch, times in by_epoch.items()}
    every = [seconds for times in by_epoch.values() for seconds in times]
    return EpochTimes(
        mean=statistics.fmean(every),
        deviation=statistics.pstdev(means.values()),
        slowest=max(means.items(), key=lambda item: item[1]),
        fastest=min(means.items(), key=lambda item: item[1]),
    )


def other_spelling(key: str) -> str:
    """MMDetection's name of a metric (bbox_mAP_50) for detzoo's (bbox/AP50), and the reverse."""
    if old := _OLD_METRIC.fullmatch(key):
        return f"{old[1]}/AP{old[2] or ''}"
    if new := _NEW_METRIC.fullmatch(key):
        return f"{new[1]}_mAP{f'_{new[2]}' if new[2] else ''}"
    return key


def draw_curves(
    logs: Sequence[RunLog],
    keys: Sequence[str],
    axis: Axis,
    out: Path,
    *,
    smooth: int = 1,
    title: str | None = None,
) -> None:
    """Plots ``keys`` of all runs to ``out``: a PNG, SVG or PDF, depending on the suffix.

    Metrics of evaluations have an axis of their own, on the right, where there are others as well.
    ``smooth`` plots means over so many records of training. Raises :class:`DataError` if a run
    lacks a key, or the file cannot be written.
    """
    figure = plot_curves(logs, keys, axis, smooth=smooth, title=title)
    try:
        figure.savefig(out, dpi=150)
    except (OSError, ValueError) as error:
        raise DataError(f"{out}: cannot be written: {error}. Give a .png, .svg or .pdf.") from None


def plot_curves(
    logs: Sequence[RunLog],
    keys: Sequence[str],
    axis: Axis,
    *,
    smooth: int = 1,
    title: str | None = None,
) -> Figure:
    """The figure that :func:`draw_curves` writes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    left = figure.add_subplot(xlabel=axis, title=title or "")
    left.grid(alpha=0.3)
    metrics = [key for key in keys if not any(_is_of_training(log, key) for log in logs)]
    others = [key for key in keys if key not in metrics]
    right = left.twinx() if metrics and others else left
    left.set_ylabel(", ".join(others or metrics))
    if right is not left:
        right.set_ylabel(", ".join(metrics))
    lines: list[Any] = []
    for log in logs:
        for key in keys:
            x, y = log.curve(key, axis)
            if key in others:
                y = _smoothed(y, smooth)
            label = key if len(logs) == 1 else f"{log.name}: {key}"
            lines += (right if key in metrics else left).plot(
                x,
                y,
                color=f"C{len(lines) % 10}",
                label=label,
                linestyle="--" if key in metrics and right is not left else "-",
                marker="o" if len(x) < 30 else None,
                markersize=3,
            )
    left.legend(handles=lines)
    return figure


def _is_of_training(log: RunLog, key: str) -> bool:
    return any(record.kind == "train" and key in record.values for record in log.records)


def _smoothed(values: Sequence[float], count: int) -> list[float]:
    """The mean of each value and the ``count`` - 1 before it, as far as there are any."""
    return [statistics.fmean(values[max(i + 1 - count, 0) : i + 1]) for i in range(len(values))]


def _read_rows(file: Path) -> dict[int, dict[str, Any]]:
    """Reads the records by line number."""
    check_regular(file)
    try:
        lines = file.read_text(encoding="utf-8").rstrip().split("\n")
    except FileNotFoundError:
        raise DataError(f"{file}: no such file; give a log, or the folder of a run.") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read as text ({error}).") from None
    rows = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines):  # a run that was killed while writing
                break
            raise DataError(f"{file}: line {number} is not valid JSON: {error.msg}.") from None
        except (ValueError, RecursionError) as error:  # thousands of digits or brackets
            raise DataError(f"{file}: line {number} cannot be read: {error}.") from None
        if not isinstance(row, dict):
            raise DataError(f"{file}: line {number} is not a record.")
        rows[number] = row
    return rows


_Rows = Mapping[int, Mapping[str, Any]]


def _ours(rows: _Rows, file: Path) -> Iterator[LogRecord]:
    epoch: Any = 0.0
    for number, row in rows.items():
        epoch = row.get("epoch", epoch)  # evaluations follow the training record of their step
        kind: Any = row.get("kind")
        iteration: Any = row.get("iteration")
        if kind not in ("train", "val") or not _is_place(epoch) or not _is_place(iteration):
            raise _misplaced(file, number)
        yield LogRecord(kind, float(epoch), int(iteration), _values(row))


def _theirs(rows: _Rows, file: Path) -> Iterator[LogRecord]:
    """Reads V2's records, which count iterations within the epoch, and epochs from 1."""
    places: list[Any] = [row.get("iter") for row in rows.values() if row.get("mode") == "train"]
    length = max((int(place) for place in places if _is_place(place)), default=0)
    for number, row in rows.items():
        mode, epoch, iteration = row.get("mode"), row.get("epoch"), row.get("iter")
        if mode not in ("train", "val") or epoch is None:
            continue
        if not _is_place(epoch) or (mode == "train" and not _is_place(iteration)):
            raise _misplaced(file, number)
        if mode == "train":
            done = int((epoch - 1) * length + iteration)
            yield LogRecord("train", done / max(length, 1), done, _values(row))
        else:
            yield LogRecord("val", float(epoch), int(epoch * length), _values(row))


def _is_place(value: Any) -> bool:
    """Whether ``value`` is a valid number of epochs or iterations."""
    return type(value) in (int, float) and 0 <= value < 2**53


def _misplaced(file: Path, number: int) -> DataError:
    return DataError(
        f"{file}: line {number} lacks the kind of record, or its epoch or "
        "iteration is not a number."
    )


def _values(row: Mapping[str, Any]) -> dict[str, float]:
    return {
        key: _as_float(value)
        for key, value in row.items()
        if key not in _PLACE and type(value) in (int, float)
    }


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # hundreds of digits
        return math.inf if value > 0 else -math.inf
