"""Callbacks: when they are called, and those that docs/extending.md shows."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import detzoo
from detzoo.data.dataset import DetectionDataset
from detzoo.errors import ConfigError
from detzoo.optim.schedules import epochs
from detzoo.train.callbacks import Callback
from detzoo.train.callbacks.named import make_callback, make_loggers
from detzoo.train.loop import train
from detzoo.train.trainer import Trainer
from detzoo.train.validation import EarlyStopping
from tests.checkpoints.test_catalog import python_of_the_document
from tests.train.test_loop import records
from tests.train.tiny import build, make_data, tiny_experiment


@pytest.fixture
def data(tmp_path: Path) -> DetectionDataset:
    return make_data(tmp_path / "data")


def documented() -> dict[str, Any]:
    """What the document's blocks on training define."""
    names: dict[str, Any] = {}
    for section in ("Your own callback", "Your own metric", "An extra loss"):
        exec(python_of_the_document(section)[0], names)
    return names


class Moments(Callback):
    """Notes which moments came, with the step."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("on_") and name != "on_message":

            def note(trainer: Trainer, *_: object) -> Any:
                self.seen.append((name, trainer.position.iteration))
                return {}

            return note
        return super().__getattribute__(name)


def test_the_moments_of_a_run(tmp_path: Path, data: DetectionDataset) -> None:
    experiment = tiny_experiment(schedule=epochs(1), accumulate=2)
    moments = Moments()
    train(experiment, build(experiment), data, data, tmp_path / "run", callbacks=[moments])
    assert moments.seen == [
        ("on_start", 0),
        *[("on_losses", 0), ("on_losses", 0), ("on_backward", 0), ("on_step", 1)],
        *[("on_losses", 1), ("on_losses", 1), ("on_backward", 1), ("on_step", 2)],
        ("on_log", 2),
        *[("on_images_evaluated", 2)] * len(data),
        *[("on_detections", 2), ("on_evaluation", 2)],
        *[("on_save", 2), ("on_end", 2)],
    ]


def test_evaluations_in_larger_batches(tmp_path: Path, data: DetectionDataset) -> None:
    """Progress counts images, and the metrics are the same."""
    counts: list[tuple[int, int]] = []

    class Counting(Callback):
        def on_images_evaluated(self, trainer: Trainer, count: int, total: int) -> None:
            counts.append((count, total))

    experiment, outcomes = tiny_experiment(schedule=epochs(1)), []
    for size in (1, 3):
        counts.clear()
        outcomes.append(
            train(
                experiment,
                build(experiment),
                data,
                data,
                tmp_path / str(size),
                callbacks=[Counting()],
                val_batch_size=size,
            ).metrics
        )
        assert counts[-1] == (len(data), len(data))
    one, three = (outcome.values for outcome in outcomes if outcome is not None)
    assert len(counts) < len(data)
    assert three == pytest.approx(one, abs=1e-6, nan_ok=True)


def test_the_end_comes_whatever_happens(tmp_path: Path, data: DetectionDataset) -> None:
    class Failing(Callback):
        error: BaseException | None = None

        def on_step(self, trainer: Trainer) -> None:
            raise RuntimeError("what a callback did")

        def on_end(self, trainer: Trainer, error: BaseException | None) -> None:
            self.error = error

    failing = Failing()
    experiment = tiny_experiment()
    with pytest.raises(RuntimeError, match="what a callback did"):
        train(experiment, build(experiment), data, None, tmp_path / "run", callbacks=[failing])
    assert isinstance(failing.error, RuntimeError)
    assert "failed with RuntimeError: what a callback did" in (tmp_path / "run/log.txt").read_text()


def test_a_callback_ends_a_run_which_goes_on(tmp_path: Path, data: DetectionDataset) -> None:
    class Enough(Callback):
        def on_step(self, trainer: Trainer) -> None:
            trainer.stop()

    experiment, run = tiny_experiment(), tmp_path / "run"
    result = train(experiment, build(experiment), data, None, run, callbacks=[Enough()])
    assert (result.iterations, result.interrupted) == (1, False)
    assert train(experiment, build(experiment), data, None, run, resume=True).iterations == 8


def test_gradient_norms_of_the_document(tmp_path: Path, data: DetectionDataset) -> None:
    """Unscaled and not clipped: together they are the norm that is clipped."""
    norms = documented()["GradientNorms"]()
    for precision in ("fp32", "fp16"):
        experiment = tiny_experiment(
            schedule=epochs(1), precision=precision, max_gradient_norm=1e-3, loss_scale=512.0
        )
        run = tmp_path / precision
        train(experiment, build(experiment), data, None, run, log_interval=1, callbacks=[norms])
        for record in records(run, "train"):
            parts = [record[f"gradient_norm_{part}"] for part in ("backbone", "neck", "bbox_head")]
            whole = torch.tensor(parts).norm().item()
            assert whole == pytest.approx(record["gradient_norm"], rel=1e-4)


def test_the_metric_of_the_document(tmp_path: Path, data: DetectionDataset) -> None:
    """It is logged, shown, and can decide which checkpoint is the best."""
    experiment, run = tiny_experiment(), tmp_path / "run"
    result = train(
        experiment,
        build(experiment),
        data,
        data,
        run,
        early_stopping=EarlyStopping("images/found", patience=1),
        callbacks=[documented()["CountImages"]()],
    )
    assert result.metrics is not None
    assert result.metrics["images/found"] == 0  # two epochs make it sure of nothing
    assert [record["images/found"] for record in records(run, "val")] == [0, 0]
    assert "evaluation: images/found 0.000" in (run / "log.txt").read_text()


def test_distillation_of_the_document(
    tmp_path: Path, data: DetectionDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    teacher = tiny_experiment().build_model()
    weights = {name: value.clone() for name, value in teacher.state_dict().items()}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(detzoo, "open_dataset", lambda *_: data)
    monkeypatch.setattr(detzoo, "load", lambda *_, fused: SimpleNamespace(model=teacher))
    names = documented() | {"experiment": tiny_experiment(schedule=epochs(6))}
    exec(python_of_the_document("An extra loss")[1], names)
    log = records(tmp_path / "runs/student", "train")
    assert log[-1]["loss_distillation"] < 0.7 * log[0]["loss_distillation"]
    terms = ("loss_cls", "loss_bbox", "loss_distillation")
    assert log[0]["loss"] == pytest.approx(sum(log[0][term] for term in terms))
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, weights[name]), name


def test_a_loss_that_is_there_already(tmp_path: Path, data: DetectionDataset) -> None:
    class Again(Callback):
        def on_losses(self, *_: Any) -> dict[str, torch.Tensor]:
            return {"loss_cls": torch.zeros(())}

    experiment = tiny_experiment()
    with pytest.raises(ConfigError, match="Again: there already is a loss loss_cls"):
        train(experiment, build(experiment), data, None, tmp_path / "run", callbacks=[Again()])


def test_the_text_of_a_run_is_kept(tmp_path: Path, data: DetectionDataset) -> None:
    experiment = tiny_experiment()
    run = tmp_path / "run"
    train(experiment, build(experiment), data, data, run, log_interval=4, quiet=True)
    longer = dataclasses.replace(experiment, schedule=experiment.schedule.stretched_to(3))
    train(longer, build(longer), data, data, run, log_interval=4, quiet=True, resume=True)
    lines = [line.split("  ", 1)[1] for line in (run / "log.txt").read_text().splitlines()]
    assert lines[0].startswith("detzoo ")
    assert lines[1] == f"train: 8 images, 16 objects ({data.source})"
    assert [line.split("  ")[0] for line in lines if "loss_cls" in line] == ["4/8", "8/8", "12/12"]
    assert sum(line.startswith("evaluation: bbox/AP ") for line in lines) == 3
    assert "resuming after step 8 of 12" in lines


# ------------------------------------------------------------------------------------ by name


def test_callbacks_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mine_by_name.py").write_text(
        "from detzoo.train.callbacks import Callback\n"
        "class Good(Callback): pass\n"
        "class Needy(Callback):\n    def __init__(self, size): pass\n"
    )
    assert type(make_callback("mine_by_name:Good")).__name__ == "Good"
    for name, reason in {
        "mine_by_name": "write it as package.module:Class",
        "mine_by_name:Absent": "mine_by_name has no class Absent",
        "json:JSONDecoder": "that subclasses detzoo.train.callbacks.Callback",
        "mine_by_name:Needy": "cannot be created without arguments .*'size'",
        "no_such_module:Good": "there is no such module",
    }.items():
        with pytest.raises(ConfigError, match=f"--callback {name}: .*{reason}"):
            make_callback(name)


def test_loggers_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="--logger comet: is not one of wandb, mlflow"):
        make_loggers(["comet"])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name in ("wandb", "mlflow"):
        with pytest.raises(ConfigError, match=rf"pip install 'detzoo\[{name}\]'"):
            make_loggers([name])


@pytest.mark.slow
@pytest.mark.ci
def test_weights_and_biases(
    tmp_path: Path, data: DetectionDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offline: what would be sent is in a file; a resumed run goes on under the same id."""
    pytest.importorskip("wandb", reason="the extra wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = tmp_path / "run"
    for length in (1, 2):
        experiment = tiny_experiment(schedule=epochs(length))
        model, logger = build(experiment), make_loggers(["wandb"])
        train(experiment, model, data, data, run, callbacks=logger, resume=length > 1, quiet=True)
    files = list(run.glob("wandb/offline-run-*/*.wandb"))
    assert len(files) == 2
    for file in files:
        assert file.name == f"run-{(run / 'wandb_id.txt').read_text()}.wandb"
        deadline = time.monotonic() + 60  # a process of W&B's own writes them
        wanted = (b"train/loss_cls", b"val/bbox/AP", b"reference_batch")
        while not all(name in file.read_bytes() for name in wanted):
            assert time.monotonic() < deadline, file.read_bytes()
            time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.ci
def test_mlflow(tmp_path: Path, data: DetectionDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """In local files; a resumed run goes on in the same run."""
    mlflow = pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    run = tmp_path / "run"
    for length in (1, 2):
        experiment = tiny_experiment(schedule=epochs(length))
        model, logger = build(experiment), make_loggers(["mlflow"])
        train(experiment, model, data, data, run, callbacks=logger, resume=length > 1, quiet=True)
    client = mlflow.MlflowClient()
    (kept,) = client.search_runs([client.get_experiment_by_name("detzoo").experiment_id])
    assert kept.info.run_id == (run / "mlflow_id.txt").read_text()
    assert kept.info.status == "FINISHED"
    losses = client.get_metric_history(kept.info.run_id, "train/loss")
    logged = records(run, "train")
    assert [(m.step, m.value) for m in losses] == [(r["iteration"], r["loss"]) for r in logged]
    assert len(client.get_metric_history(kept.info.run_id, "val/bbox/AP")) == 2
    written = json.loads(
        Path(client.download_artifacts(kept.info.run_id, "experiment.json")).read_text()
    )
    assert written["schedule"]["length"] == 2
