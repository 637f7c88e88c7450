"""The files that a run writes in addition to checkpoints: metrics and log."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import platform
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import detzoo
from detzoo.errors import UserError
from detzoo.evaluate.metrics import Metrics
from detzoo.files import to_json
from detzoo.train.callbacks.base import Callback, Record, RecordWriter
from detzoo.train.callbacks.lines import evaluation_line, training_line

if TYPE_CHECKING:
    from detzoo.train.trainer import Trainer


class MetricsFiles(RecordWriter):
    """Writes ``metrics.jsonl`` and ``metrics.csv`` to the run folder.

    When a run is resumed, records after its step are removed, since they will be written again.
    """

    def on_start(self, trainer: Trainer) -> None:
        note = self.open(trainer.run_dir, trainer.position.iteration)
        if note:
            trainer.say(note)

    def open(self, run_dir: Path, start: int) -> str:
        """Starts after step ``start``. Returns a note on damaged records, or an empty string."""
        self._jsonl = run_dir / "metrics.jsonl"
        self._csv = run_dir / "metrics.csv"
        self._records, num_damaged = _read(self._jsonl)
        note = ""
        if num_damaged:
            copy = self._jsonl.with_name("metrics.damaged.jsonl")
            shutil.copyfile(self._jsonl, copy)
            note = f"{self._jsonl}: {num_damaged} unreadable lines left out; {copy} is a copy of it"
        self._records = [record for record in self._records if record["iteration"] <= start]
        lines = "".join(to_json(record) + "\n" for record in self._records)
        _replace_text(self._jsonl, lines)
        self._columns = list(dict.fromkeys(name for record in self._records for name in record))
        self._rewrite_csv()
        return note

    def write(self, record: Record) -> None:
        """Appends a record; non-finite values are written as empty (null)."""
        record = {name: _finite_or_none(value) for name, value in record.items()}
        self._records.append(dict(record))
        _append(self._jsonl, to_json(record) + "\n")
        new = [name for name in record if name not in self._columns]
        if new:
            self._columns += new
            self._rewrite_csv()
        else:
            row = io.StringIO()
            csv.DictWriter(row, self._columns, lineterminator="\n").writerow(record)
            _append(self._csv, row.getvalue())

    def _rewrite_csv(self) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, self._columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._records)
        _replace_text(self._csv, text.getvalue())


class RunFile(Callback):
    """Writes ``content`` to the file ``name`` in the run folder; prints ``notes``."""

    first_process_only = True

    def __init__(self, name: str, content: Any, notes: Sequence[str] = ()) -> None:
        self._name, self._content, self._notes = name, content, notes

    def on_start(self, trainer: Trainer) -> None:
        write_json(trainer.run_dir / self._name, self._content)
        for note in self._notes:
            trainer.say(note)


class TextLog(Callback):
    """Appends all displayed lines to ``log.txt``, with timestamps."""

    first_process_only = True

    def on_start(self, trainer: Trainer) -> None:
        self._file = trainer.run_dir / "log.txt"
        versions = f"detzoo {detzoo.__version__}, torch {torch.__version__}"
        self._write(f"{versions}, Python {platform.python_version()}, {platform.node()}")
        for purpose, data in (("train", trainer.train_data), ("val", trainer.val_data)):
            if data is not None:
                objects = len(data.annotations)
                self._write(f"{purpose}: {len(data)} images, {objects} objects ({data.source})")

    def on_message(self, trainer: Trainer, text: str) -> None:
        self._write(text)

    def on_log(self, trainer: Trainer, record: Record) -> None:
        steps = trainer.plan.steps
        self._write(f"{record['iteration']}/{steps}  {training_line(record, steps)}")

    def on_evaluation(self, trainer: Trainer, metrics: Metrics, is_best: bool) -> None:
        self._write(evaluation_line(metrics.values, trainer.metric, trainer.position.best))

    def on_end(self, trainer: Trainer, error: BaseException | None) -> None:
        if error is not None:
            self._write(f"failed with {type(error).__name__}: {error}")

    def _write(self, text: str) -> None:
        _append(self._file, f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}\n")


def write_json(path: Path, value: Any) -> None:
    """Writes ``value`` as human-readable JSON."""
    _replace_text(path, to_json(value, indent=2) + "\n")


def _finite_or_none(value: float | int | str | None) -> float | int | str | None:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _read(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Reads the records of a file, and counts invalid lines, except for an incomplete last line
    from a run that was killed while writing.
    """
    if not path.is_file():
        return [], 0
    lines = [line for line in path.read_text(errors="replace").split("\n")[:-1] if line]
    records = [record for record in map(_parsed, lines) if record is not None]
    return records, len(lines) - len(records)


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_record = isinstance(record, dict) and type(record.get("iteration")) is int
    return record if is_record else None


def _append(path: Path, text: str) -> None:
    with _explained(path), path.open("a", newline="") as file:
        file.write(text)


def _replace_text(path: Path, text: str) -> None:
    """Replaces a file atomically."""
    temporary = path.with_name(f".{path.name}.tmp")
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text)
        temporary.replace(path)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Converts an OSError on writing ``path`` to a UserError with a remedy."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written: {error.strerror}. Free some disk space, or choose "
            "another folder with --out; --resume continues from the last checkpoint."
        ) from error
