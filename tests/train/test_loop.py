from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from detzoo.checkpoints import checkpoint
from detzoo.config import ConfigError
from detzoo.data.dataset import DetectionDataset
from detzoo.detectors.base import Detector, DetectorConfig
from detzoo.devices import deterministic
from detzoo.errors import DataError
from detzoo.experiment import Experiment
from detzoo.heads.class_rows import ClassRows
from detzoo.layers.norm import BatchNormConfig
from detzoo.optim.ema import EMAConfig
from detzoo.optim.optimizers import SGDConfig
from detzoo.optim.schedules import Cosine, MomentumSchedule, Warmup, epochs, iterations
from detzoo.structures import Detections, ImageBatch, Targets
from detzoo.train import loop
from detzoo.train.loop import train
from detzoo.train.plan import fit_recipe
from detzoo.train.state import seed_step
from detzoo.train.validation import EarlyStopping, Validation
from detzoo.train.watch import NonFiniteLossError
from tests.train.tiny import BACKBONE, build, make_data, tiny_experiment, tiny_two_stage


@pytest.fixture
def data(tmp_path: Path) -> DetectionDataset:
    return make_data(tmp_path / "data")


def records(run: Path, kind: str) -> list[dict[str, Any]]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == kind]


# ------------------------------------------------------------------------------ a whole run


def test_training_lowers_the_loss_and_logs_it(tmp_path: Path, data: DetectionDataset) -> None:
    experiment = tiny_experiment(schedule=epochs(8), optimizer=SGDConfig(lr=0.05))
    result = train(experiment, build(experiment), data, None, tmp_path / "run", log_interval=2)
    log = records(tmp_path / "run", "train")
    assert [record["iteration"] for record in log] == list(range(2, 33, 2))
    assert log[-1]["loss"] < 0.75 * log[0]["loss"]
    assert log[-1]["loss"] == pytest.approx(log[-1]["loss_cls"] + log[-1]["loss_bbox"])
    assert log[1]["lr"] == 0.05
    assert log[-1]["lr"] == pytest.approx(0.0005)
    assert log[1]["epoch"] == 1
    assert {"data_time", "step_time", "memory_gb", "gradient_norm"} <= set(log[0])
    assert (result.iterations, result.metrics, result.best) == (32, None, {})
    assert not (tmp_path / "run" / "best.pt").exists()


def test_evaluations_and_checkpoints_come_in_units_of_the_schedule(
    tmp_path: Path, data: DetectionDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = []
    save = checkpoint.save

    def note(path: Path, content: checkpoint.Checkpoint) -> None:
        if path.name == "last.pt":
            saved.append(content.training["position"]["iteration"])  # type: ignore[index]
        save(path, content)

    monkeypatch.setattr(checkpoint, "save", note)
    by_epoch = tiny_experiment(schedule=epochs(3), evaluate_every=2, checkpoint_every=3)
    train(by_epoch, build(by_epoch), data, data, tmp_path / "epochs", quiet=True)
    assert [r["iteration"] for r in records(tmp_path / "epochs", "val")] == [8, 12]
    assert saved == [0, 12]
    saved.clear()
    by_iteration = dataclasses.replace(by_epoch, schedule=iterations(7, milestones=(5,)))
    train(by_iteration, build(by_iteration), data, data, tmp_path / "iterations", quiet=True)
    assert [r["iteration"] for r in records(tmp_path / "iterations", "val")] == [2, 4, 6, 7]
    assert saved == [0, 3, 6, 7]


def test_the_average_is_what_is_evaluated_and_published(
    tmp_path: Path, data: DetectionDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Tensor]] = []
    run = Validation.run

    def look(self: Validation, model: Detector, *stopping: Any) -> Any:
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return run(self, model, *stopping)

    monkeypatch.setattr(Validation, "run", look)
    experiment = tiny_experiment(schedule=epochs(1), ema=EMAConfig(momentum=0.1, warmup=3))
    train(experiment, build(experiment), data, data, tmp_path / "run", quiet=True)
    last = checkpoint.read(tmp_path / "run" / "last.pt")
    best = checkpoint.read(tmp_path / "run" / "best.pt")
    assert last.ema is not None
    for name, value in last.ema.items():
        assert torch.equal(value, seen[0][name])
        assert torch.equal(value, best.model[name])
    assert any(not torch.equal(last.ema[name], value) for name, value in last.model.items())
    assert best.ema is None
    assert best.training is None


def test_a_deterministic_run(
    tmp_path: Path, data: DetectionDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice the same to the bit, and in the form that a GPU needs as well."""
    experiment = tiny_experiment(model=tiny_two_stage(), schedule=epochs(1), seed=3)
    weights = []
    gpu = torch.device("cuda")
    for device in (None, None, gpu):
        if device is not None:  # the settings for a GPU, on this processor
            monkeypatch.setattr(loop, "make_deterministic", lambda _: deterministic(gpu))
        run = tmp_path / str(len(weights))
        train(experiment, build(experiment), data, data, run, quiet=True, deterministic=True)
        weights.append(checkpoint.read(run / "last.pt").model)
    first, second, on_gpu = weights
    assert all(torch.equal(first[name], second[name]) for name in first)
    torch.testing.assert_close(on_gpu, first, rtol=1e-4, atol=1e-5)
    assert not torch.are_deterministic_algorithms_enabled()


# -------------------------------------------------------------------------------- the recipe


def test_the_rate_follows_the_batch_and_the_warmup_the_length() -> None:
    experiment = dataclasses.replace(tiny_experiment(), reference_batch=16, accumulate=2)
    plan, notes = fit_recipe(experiment, 100, 2, True)
    assert plan.lr_scale == 0.5  # 2 images x 2 processes x 2 batches
    assert plan.schedule.warmup == Warmup(iterations=20)
    assert notes == [
        "learning rate 0.02 -> 0.01: 8 images per step, where the recipe has 16 "
        "(--no-lr-scaling keeps it)",
        "warm-up shortened to 20 steps, a tenth of this run's 200",
    ]
    # That of the momentum ends with it.
    momentum = MomentumSchedule(policy=Cosine(), warmup=Warmup(epochs=1, ratio=0.5))
    schedule = dataclasses.replace(experiment.schedule, momentum=momentum)
    plan, both = fit_recipe(dataclasses.replace(experiment, schedule=schedule), 100, 2, True)
    assert both == notes
    assert plan.schedule.momentum is not None
    assert plan.schedule.momentum.warmup == Warmup(iterations=20, ratio=0.5)
    schedule = dataclasses.replace(schedule, warmup=None)
    alone = dataclasses.replace(experiment, schedule=schedule)
    assert fit_recipe(alone, 100, 2, True)[1] == notes
    plan, notes = fit_recipe(experiment, 2500, 2, False)
    assert (plan.schedule, plan.lr_scale, notes) == (experiment.schedule, 1.0, [])


def test_the_numbers_of_a_step_do_not_depend_on_what_came_before() -> None:
    draws = {}
    for key in [(0, 0, 5), (0, 0, 6), (0, 1, 5), (1, 0, 5)]:
        seed_step(*key)
        draws[key] = torch.rand(4)
    torch.rand(100)
    seed_step(0, 0, 5)
    assert torch.equal(torch.rand(4), draws[0, 0, 5])
    assert len({tuple(draw.tolist()) for draw in draws.values()}) == 4


# ------------------------------------------------------------------------------- one detector


class BoxSumConfig(DetectorConfig):
    """For tests: see :class:`BoxSum`."""

    def build(self, num_classes: int) -> Detector:
        return BoxSum(self)


class BoxSum(Detector):
    """Guesses the sum of an image's boxes from its mean features; every image weighs the same."""

    poison: tuple[float, int] = (0.0, 0)

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__(config)
        self.head = nn.Linear(self.feature_channels[-1], 4)
        self.calls = 0

    def class_parameters(self) -> dict[str, ClassRows]:
        return {}

    def losses(
        self, features: tuple[Tensor, ...], images: ImageBatch, targets: Sequence[Targets]
    ) -> dict[str, Tensor]:
        wanted = torch.stack([target.boxes.sum(0) / 100 for target in targets])
        guess = self.head(features[-1].float().mean((2, 3)))
        self.calls += 1
        value, call = self.poison
        factor = value if self.calls == call else 1.0
        return {"loss_sum": factor * (guess - wanted).abs().mean(), "acc": guess.mean()}

    def detect(self, features: tuple[Tensor, ...], images: ImageBatch) -> list[Detections]:
        return [Detections.empty() for _ in images.infos]


def box_sum(images_per_device: int, **changes: Any) -> Experiment:
    backbone = dataclasses.replace(BACKBONE, norm=BatchNormConfig(fixed_statistics=True))
    experiment = tiny_experiment(
        model=BoxSumConfig(backbone=backbone), reference_batch=4, ema=None, **changes
    )
    data = dataclasses.replace(experiment.data, images_per_device=images_per_device)
    return dataclasses.replace(experiment, data=data)


def weights_after(experiment: Experiment, data: DetectionDataset, run: Path) -> dict[str, Tensor]:
    model = build(experiment)
    train(experiment, model, data, None, run, quiet=True)
    return model.state_dict()


def test_accumulated_batches_equal_a_big_one(tmp_path: Path) -> None:
    data = make_data(tmp_path / "data", images=4)  # all of them in every step
    small = weights_after(box_sum(1, accumulate=4), data, tmp_path / "small")
    large = weights_after(box_sum(4), data, tmp_path / "large")
    start = build(box_sum(4)).state_dict()
    assert (large["head.weight"] - start["head.weight"]).abs().max() > 1e-3
    for name, weight in large.items():
        torch.testing.assert_close(small[name], weight, rtol=1e-4, atol=1e-6, msg=name)


def test_the_last_step_of_an_epoch_takes_what_is_left(
    tmp_path: Path, data: DetectionDataset
) -> None:
    experiment = box_sum(2, accumulate=3)
    result = train(experiment, build(experiment), data, None, tmp_path / "run", quiet=True)
    assert result.iterations == 4  # two epochs of 3 + 1 batches


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision_trains(tmp_path: Path, data: DetectionDataset, precision: Any) -> None:
    for scale in (None, 512.0):
        changes = {"precision": precision, "loss_scale": scale}
        weights = weights_after(box_sum(4, **changes), data, tmp_path / f"{scale}")
        reference = weights_after(box_sum(4), data, tmp_path / f"fp32 {scale}")
        assert weights["head.weight"].dtype == torch.float32
        difference = (weights["head.weight"] - reference["head.weight"]).abs().max()
        assert 0 < difference < 0.01


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_before_it_spoils_the_weights(
    tmp_path: Path, data: DetectionDataset, value: float
) -> None:
    experiment = box_sum(4, schedule=epochs(3))
    model = build(experiment)
    assert isinstance(model, BoxSum)
    model.poison = (value, 4)
    with pytest.raises(NonFiniteLossError, match=rf"step 3: loss_sum is {value} for .*\.png"):
        train(experiment, model, data, None, tmp_path / "run", quiet=True, checkpoint_steps=1)
    before = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
    assert before["training"]["position"]["iteration"] == 3
    for name, weight in before["model"].items():
        assert torch.equal(model.state_dict()[name], weight)
    assert (tmp_path / "run" / "nonfinite_rank0.pt").exists()


# ----------------------------------------------------------------------------- early stopping


def test_training_stops_when_nothing_gets_better(
    tmp_path: Path, data: DetectionDataset, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = box_sum(4, schedule=epochs(9))  # it detects nothing: always 0
    stopping = EarlyStopping(metric="bbox/AP50", patience=2)
    run = tmp_path / "run"
    result = train(experiment, build(experiment), data, data, run, early_stopping=stopping)
    assert result.iterations == 6  # the first evaluation was the best, two more were not better
    assert not result.interrupted
    assert "stopping early: bbox/AP50 is no longer improving" in capsys.readouterr().out
    assert result.best["bbox/AP50"] == 0


def test_watching_a_metric_that_is_not_there_stops_before_the_first_step(
    tmp_path: Path, data: DetectionDataset
) -> None:
    experiment = tiny_experiment()
    stopping = EarlyStopping(metric="bbox/AP55")
    with pytest.raises(ConfigError, match=r"no metric is called 'bbox/AP55' here; .*bbox/AP50,"):
        train(experiment, build(experiment), data, data, tmp_path / "run", early_stopping=stopping)
    with pytest.raises(ConfigError, match="requires validation data"):
        train(experiment, build(experiment), data, None, tmp_path / "run", early_stopping=stopping)
    assert not (tmp_path / "run").exists()


def test_a_batch_larger_than_the_data(tmp_path: Path, data: DetectionDataset) -> None:
    with pytest.raises(DataError, match="a batch of 9 images is larger than the data"):
        train(box_sum(9), build(box_sum(9)), data, None, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_labels_that_mean_other_classes(tmp_path: Path, data: DetectionDataset) -> None:
    experiment = tiny_experiment(class_names=("green", "red"))
    with pytest.raises(DataError, match=r"its classes are red, green, those of the .* green, red"):
        train(experiment, build(experiment), data, None, tmp_path / "run")


@pytest.mark.parametrize("name", ["accumulate", "evaluate_every", "checkpoint_every"])
def test_counts_are_at_least_one(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}: 0 is not at least 1"):
        tiny_experiment(**{name: 0})
