"""What a run leaves behind and what it shows: metrics files, TensorBoard, a progress bar."""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import io
import json
import math
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text
from torch import Tensor

from detzoo.errors import UserError
from detzoo.ops.distributed import average_over_processes

Record = Mapping[str, float | int | str | None]


class Averages:
    """Means of values that stay on the device until they are asked for."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            value = value.detach().to(torch.float32)
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1

    def drain(self) -> dict[str, float]:
        """The means since the last call, over all processes; waits for the device once."""
        if not self._sums:
            return {}
        names = list(self._sums)
        means = torch.stack([self._sums[name] / self._counts[name] for name in names])
        self._sums.clear()
        self._counts.clear()
        return dict(zip(names, average_over_processes(means).tolist()))


class Stopwatch:
    """Seconds per step, and how many of them passed waiting for data, since the last reading."""

    def __init__(self) -> None:
        self._restart()

    @contextlib.contextmanager
    def data(self) -> Iterator[None]:
        """Around what waits for data."""
        started = time.perf_counter()
        yield
        self._waited += time.perf_counter() - started

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Around what is not part of any step."""
        started = time.perf_counter()
        yield
        self._started += time.perf_counter() - started

    def drain(self) -> dict[str, float]:
        elapsed = time.perf_counter() - self._started
        steps = max(self.steps, 1)
        means = {"data_time": self._waited / steps, "step_time": elapsed / steps}
        self._restart()
        return means

    def _restart(self) -> None:
        self.steps = 0
        self._waited = 0.0
        self._started = time.perf_counter()


class MetricsFiles:
    """``metrics.jsonl`` and ``metrics.csv`` in ``run_dir``, and TensorBoard where it is installed.

    A record is a set of named numbers at an ``iteration``. Records after iteration ``start`` that
    the files hold from before an interruption are dropped: they will be written again.
    """

    def __init__(self, run_dir: Path, start: int) -> None:
        self._jsonl = run_dir / "metrics.jsonl"
        self._csv = run_dir / "metrics.csv"
        self._records = [record for record in _read(self._jsonl) if record["iteration"] <= start]
        lines = "".join(json.dumps(record) + "\n" for record in self._records)
        _replace_text(self._jsonl, lines)
        self._columns = list(dict.fromkeys(name for record in self._records for name in record))
        self._rewrite_csv()
        self._board = _board(run_dir / "tensorboard", start)

    def write(self, record: Record) -> None:
        """Appends one record; what is not finite is written as empty (null)."""
        record = {name: _finite_or_none(value) for name, value in record.items()}
        self._records.append(record)
        with _explained(self._jsonl), self._jsonl.open("a") as file:
            file.write(json.dumps(record) + "\n")
        new = [name for name in record if name not in self._columns]
        if new:
            self._columns += new
            self._rewrite_csv()
        else:
            with _explained(self._csv), self._csv.open("a", newline="") as file:
                csv.DictWriter(file, self._columns, lineterminator="\n").writerow(record)
        if self._board is not None:
            for name, value in record.items():
                if isinstance(value, float):
                    tag = f"{record['kind']}/{name}"
                    self._board.add_scalar(tag, value, record["iteration"])

    def __enter__(self) -> MetricsFiles:
        return self

    def __exit__(self, *_: object) -> None:
        if self._board is not None:
            self._board.close()

    def _rewrite_csv(self) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, self._columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._records)
        _replace_text(self._csv, text.getvalue())


class Display:
    """What people see: lines, and on a terminal a bar that moves. ``quiet`` shows nothing."""

    def __init__(self, total: int, done: int, *, quiet: bool) -> None:
        self._console = Console(quiet=quiet, highlight=False)
        self._total = total
        self._moves = self._console.is_terminal and not quiet
        self._numbers = Text("")
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]:.2f}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        self._task = self._bar.add_task("", total=total, completed=done, epoch=0.0)
        self._live = Live(Group(self._bar, self._numbers), console=self._console)

    def __enter__(self) -> Display:
        if self._moves:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        """One line of text."""
        self._console.print(text, markup=False, soft_wrap=True)

    def advance(self, iteration: int, epoch: float) -> None:
        self._bar.update(self._task, completed=iteration, epoch=epoch)

    def training(self, record: Record) -> None:
        """The figures of a training record: below the bar, or as a line where nothing moves."""
        text = _training_line(record, self._total)
        if self._moves:
            self._numbers.plain = text
        else:
            self.say(f"{record['iteration']}/{self._total}  {text}")

    def evaluation(
        self, values: Mapping[str, float], metric: str, best: Mapping[str, float]
    ) -> None:
        """One evaluation: the ``metric`` that decides, its best value, and what goes with it."""
        kinds = dict.fromkeys(name.split("/")[0] for name in values)
        shown = {metric: values[metric]}
        for kind in kinds:  # the first three of each kind are its overall figures
            names = [name for name in values if name.startswith(f"{kind}/")]
            shown |= {name: values[name] for name in names[:3]}
        text = "  ".join(f"{name} {value:.3f}" for name, value in shown.items())
        self.say(f"evaluation: {text}  (best {metric} {best[metric]:.3f})")


def _training_line(record: Record, total: int) -> str:
    known = {"kind", "iteration", "epoch", "lr", "data_time", "step_time", "memory_gb"}
    losses = "  ".join(
        f"{name} {value:.4f}"
        for name, value in record.items()
        if name not in known and isinstance(value, float)
    )
    line = f"{losses}  lr {record['lr']:.2e}"
    line += (
        f"  data {_milliseconds(record['data_time'])}  step {_milliseconds(record['step_time'])}"
    )
    if record["memory_gb"]:
        line += f"  memory {record['memory_gb']:.1f} GB"
    remaining = int((total - int(record["iteration"] or 0)) * float(record["step_time"] or 0))
    return f"{line}  left {remaining // 3600}:{remaining // 60 % 60:02}:{remaining % 60:02}"


def write_json(path: Path, value: Any) -> None:
    """Writes ``value`` for people to read."""
    _replace_text(path, json.dumps(value, indent=2) + "\n")


def memory_in_use(device: torch.device) -> float:
    """The most memory used so far, in GB: the GPU's, or on the CPU this process's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    if importlib.util.find_spec("resource") is None:  # not on Windows
        return 0.0
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def _milliseconds(seconds: Any) -> str:
    return f"{1000 * float(seconds):.0f} ms"


def _finite_or_none(value: float | int | str | None) -> float | int | str | None:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _read(path: Path) -> list[dict[str, Any]]:
    """The whole records of a file; a last line that was not finished is left out."""
    if not path.is_file():
        return []
    lines = path.read_text().split("\n")
    return [json.loads(line) for line in lines[:-1] if line]


def _replace_text(path: Path, text: str) -> None:
    """Writes a file so that a kill leaves the old or the new one."""
    temporary = path.with_name(f".{path.name}.tmp")
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text)
        temporary.replace(path)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turns a failure to write ``path`` into one that says what to do."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written: {error.strerror}. Make room on the disk, or choose "
            "another folder with --out; --resume goes on from the last checkpoint."
        ) from error


def _board(directory: Path, start: int) -> Any:
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(directory), purge_step=start + 1)
