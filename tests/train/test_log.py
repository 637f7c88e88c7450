from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from detzoo.errors import UserError
from detzoo.evaluate.metrics import Metrics
from detzoo.optim.schedules import iterations
from detzoo.train.callbacks.display import Display
from detzoo.train.callbacks.files import MetricsFiles
from detzoo.train.callbacks.lines import evaluation_line
from detzoo.train.callbacks.tensorboard import TensorBoard
from detzoo.train.log import Averages
from detzoo.train.plan import Plan
from detzoo.train.state import Position
from tests.train.tiny import tiny_experiment


def record(iteration: int, **values: float) -> dict[str, Any]:
    return {"kind": "train", "iteration": iteration, **values}


def opened(run: Path, start: int) -> MetricsFiles:
    files = MetricsFiles()
    files.open(run, start)
    return files


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_averages_are_over_what_was_added_since_the_last_reading() -> None:
    means = Averages()
    means.add({"loss": torch.tensor(1.0, requires_grad=True), "acc": torch.tensor(50)})
    means.add({"loss": torch.tensor(4.0)})
    assert means.drain() == {"loss": 2.5, "acc": 50.0}
    assert means.drain() == {}
    means.add({"loss": torch.tensor(7.0)})
    assert means.drain() == {"loss": 7.0}


def test_both_files_hold_every_record(tmp_path: Path) -> None:
    files = opened(tmp_path, 0)
    files.write(record(1, loss=0.5))
    files.write({"kind": "val", "iteration": 1, "bbox/AP": 0.25, "bbox/APs": math.nan})
    files.write(record(2, loss=0.25))
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"kind": "train", "iteration": 1, "loss": 0.5},
        {"kind": "val", "iteration": 1, "bbox/AP": 0.25, "bbox/APs": None},
        {"kind": "train", "iteration": 2, "loss": 0.25},
    ]
    table = rows(tmp_path)
    assert [row["loss"] for row in table] == ["0.5", "", "0.25"]
    assert [row["bbox/AP"] for row in table] == ["", "0.25", ""]
    assert [row["bbox/APs"] for row in table] == ["", "", ""]


def test_resuming_drops_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    files = opened(tmp_path, 0)
    for iteration in (1, 2, 3):
        files.write(record(iteration, loss=0.5))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "train", "iterat')  # a kill in the middle of a line
    files = opened(tmp_path, 2)
    assert [row["iteration"] for row in rows(tmp_path)] == ["1", "2"]
    files.write(record(3, loss=0.25))
    assert [row["loss"] for row in rows(tmp_path)] == ["0.5", "0.5", "0.25"]
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 3


def test_damaged_records_do_not_keep_a_run_from_going_on(tmp_path: Path) -> None:
    files = opened(tmp_path, 0)
    for iteration in (1, 2):
        files.write(record(iteration, loss=0.5))
    path = tmp_path / "metrics.jsonl"
    odd = (
        b"\0\0\0",
        b"\xff{",
        b'{"kind": "train", "iter',
        b"[1]",
        b'{"iteration": "x"}',
        b"[" * 9999,
    )
    damaged = b"\n".join((*odd, path.read_bytes()))
    path.write_bytes(damaged)
    note = MetricsFiles().open(tmp_path, 2)
    assert "6 unreadable lines left out" in note
    assert (tmp_path / "metrics.damaged.jsonl").read_bytes() == damaged
    assert [row["iteration"] for row in rows(tmp_path)] == ["1", "2"]
    assert MetricsFiles().open(tmp_path, 2) == ""


def trainer_at(run: Path, iteration: int) -> Any:
    """What callbacks look at of a trainer."""
    plan = Plan(tiny_experiment(), iterations(100, milestones=(80,)), 1.0, steps_per_epoch=50)
    position = Position(iteration, 50, best={"bbox/AP50": 0.75})
    return SimpleNamespace(run_dir=run, plan=plan, position=position, metric="bbox/AP50")


def test_tensorboard_events_are_written(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    board = TensorBoard()
    board.on_start(trainer_at(tmp_path, 0))
    board.write(record(5, loss=0.5, loss_cls=math.nan))
    board.on_end(trainer_at(tmp_path, 5), None)
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("train/loss")] == [(5, 0.5)]
    assert events.Tags()["scalars"] == ["train/loss"]


def test_a_place_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/run/metrics\.jsonl: cannot be written"):
        opened(tmp_path / "file" / "run", 0)


def test_a_pipe_gets_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    numbers = record(50, loss=0.125, lr=0.02, data_time=0.002, step_time=1.5, memory_gb=2.25)
    trainer, display = trainer_at(tmp_path, 50), Display()
    display.on_start(trainer)
    display.on_log(trainer, numbers)
    display.on_step(trainer)
    display.on_images_evaluated(trainer, 3, 8)
    metrics = Metrics({"bbox/AP": 0.25, "bbox/AP50": 0.5}, "bbox/AP")
    display.on_evaluation(trainer, metrics, False)
    display.on_end(trainer, None)
    assert capsys.readouterr().out.splitlines() == [
        "50/100  loss 0.1250  lr 2.00e-02  data 2 ms  step 1500 ms  memory 2.2 GB  left 0:01:15",
        "evaluation: bbox/AP50 0.500  bbox/AP 0.250  (best bbox/AP50 0.750)",
    ]


def test_what_is_undefined_has_one_form() -> None:
    line = evaluation_line({"bbox/AP": math.nan}, "bbox/AP", {})
    assert line == "evaluation: bbox/AP -  (best bbox/AP -)"
