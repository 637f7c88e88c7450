from __future__ import annotations

from pathlib import Path

import pytest
import torch

from detzoo.config import ConfigError
from detzoo.data.dataset import DetectionDataset
from detzoo.errors import CheckpointError, UserError
from detzoo.optim.schedules import epochs
from detzoo.train.callbacks.base import Callback
from detzoo.train.callbacks.files import RunFile
from detzoo.train.loop import train
from detzoo.train.state import locked
from detzoo.train.trainer import Trainer
from detzoo.train.watch import NonFiniteLossError
from tests.train.tiny import build, make_data, tiny_experiment


@pytest.fixture
def data(tmp_path: Path) -> DetectionDataset:
    return make_data(tmp_path / "data")


class FirstLosses(Callback):
    """Keeps the loss of each step."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_log(self, trainer: Trainer, record: object) -> None:
        self.losses.append(record["loss"])  # type: ignore[index]


def test_a_rehearsal_takes_the_step_that_the_run_takes(
    tmp_path: Path, data: DetectionDataset
) -> None:
    experiment = tiny_experiment(schedule=epochs(2), evaluate_every=2)
    seen = FirstLosses()
    changed = RunFile("options.json", {})
    run = tmp_path / "run"
    model = build(experiment)
    result = train(
        experiment, model, data, data, run, dry_run=True, quiet=True, callbacks=[seen, changed]
    )
    assert not run.exists()
    assert seen.losses == []
    found = result.rehearsal
    assert found is not None
    assert result.iterations == 0
    train(experiment, build(experiment), data, data, run, quiet=True, log_interval=1,
          callbacks=[seen])  # fmt: skip
    assert found.losses["loss"] == seen.losses[0]
    assert (found.plan.steps, found.steps_done, found.images) == (8, 0, 8)
    assert (found.images_per_step, found.learning_rate) == (2, 0.02)
    assert found.parameters == sum(p.numel() for p in model.parameters())
    assert (found.metric, found.seconds > 0, found.memory_gb > 0) == ("bbox/AP", True, True)
    assert found.metrics is not None


def test_a_run_is_rehearsed_where_it_stands(tmp_path: Path, data: DetectionDataset) -> None:
    experiment = tiny_experiment(schedule=epochs(1))
    run = tmp_path / "run"
    train(experiment, build(experiment), data, None, run, quiet=True)
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    arguments = (build(experiment), data, None, run)
    with pytest.raises(CheckpointError, match=r"last\.pt: already exists"):
        train(experiment, *arguments, quiet=True, dry_run=True)
    done = train(experiment, *arguments, quiet=True, dry_run=True, resume=True).rehearsal
    longer = tiny_experiment(schedule=epochs(2))
    more = train(longer, *arguments, quiet=True, dry_run=True, resume=True).rehearsal
    assert done is not None
    assert (done.steps_done, done.losses) == (4, {})
    assert more is not None
    assert (more.steps_done, more.plan.steps, bool(more.losses)) == (4, 8, True)
    assert before == {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}


def test_a_rehearsal_meets_the_errors_of_the_run(tmp_path: Path, data: DetectionDataset) -> None:
    experiment = tiny_experiment()
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(UserError, match="cannot be written: Not a directory"):
        train(experiment, build(experiment), data, None, file / "run", dry_run=True, quiet=True)
    run = tmp_path / "run"
    with locked(run), pytest.raises(ConfigError, match="another program is training"):
        train(experiment, build(experiment), data, None, run, dry_run=True, quiet=True)
    model = build(experiment)
    with torch.no_grad():
        next(model.bbox_head.parameters()).fill_(torch.nan)  # type: ignore[union-attr]
    with pytest.raises(NonFiniteLossError, match=r"for the images .*\d\.png. Check the boxes"):
        train(experiment, model, data, None, tmp_path / "other", dry_run=True, quiet=True)
    assert not (tmp_path / "other").exists()
