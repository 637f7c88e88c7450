"""A run that is interrupted and resumed ends with the very bits of one that is not."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from detzoo.checkpoints import checkpoint
from detzoo.checkpoints.checkpoint import Checkpoint
from detzoo.data.dataset import DetectionDataset
from detzoo.detectors.distilled import DistilledConfig
from detzoo.detectors.single_stage import SingleStageConfig
from detzoo.errors import CheckpointError
from detzoo.experiment import Experiment
from detzoo.heads.dense.gfl import GFLHeadConfig
from detzoo.heads.dense.ld import LDHeadConfig
from detzoo.heads.roi.box_head import BoxHeadConfig
from detzoo.heads.roi.dynamic import DynamicRoIHeadConfig
from detzoo.heads.roi.standard import StandardRoIHeadConfig
from detzoo.losses.boxes import SmoothL1Loss
from detzoo.necks.fpn import FPNConfig
from detzoo.optim.adaptive import (
    AdagradConfig,
    AdamaxConfig,
    NAdamConfig,
    RAdamConfig,
    RMSpropConfig,
)
from detzoo.optim.ema import EMAConfig
from detzoo.optim.optimizers import AdamWConfig, OptimizerConfig
from detzoo.optim.schedules import MomentumSchedule, Step, epochs
from detzoo.priors.anchors import AnchorGrid
from detzoo.train.loop import train
from tests.train.tiny import BACKBONE, build, make_data, tiny_experiment, tiny_two_stage
from tests.train.worker import main

ROOT = Path(__file__).parents[2]
TIMES = ("data_time", "step_time", "memory_gb")


def assert_same(a: Any, b: Any, path: str = "") -> None:
    """Nested values are equal, tensors bit for bit."""
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype, path
        assert torch.equal(a, b), path
    elif isinstance(a, Mapping):
        assert list(a) == list(b), path
        for key in a:
            assert_same(a[key], b[key], f"{path}.{key}")
    elif isinstance(a, list):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b)):
            assert_same(x, y, f"{path}[{i}]")
    else:
        assert a == b or (a != a and b != b), path  # not a number equals itself here


def assert_same_run(a: Path, b: Path) -> None:
    for name in ("last.pt", "best.pt"):
        one, other = checkpoint.read(a / name), checkpoint.read(b / name)
        assert_same(dataclasses.asdict(one), dataclasses.asdict(other), name)
    assert history(a) == history(b)


def history(run: Path) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in record.items() if k not in TIMES} for record in records]


@pytest.mark.slow
@pytest.mark.ci
def test_killed_at_random_moments(tmp_path: Path) -> None:
    make_data(tmp_path / "data", images=20)
    main("two_stage", tmp_path / "data", tmp_path / "whole", resume=False)
    run = tmp_path / "killed"
    command = [sys.executable, "-m", "tests.train.worker", "two_stage", tmp_path / "data", run]
    kills = []
    for attempt in range(4):
        resume = ["--resume"] if attempt else []
        process = subprocess.Popen([*command, *resume], cwd=ROOT, stdout=subprocess.DEVNULL)
        if attempt == 3:
            assert process.wait() == 0
            break
        started = (run / "last.pt").stat().st_mtime_ns if attempt else 0
        while not (run / "last.pt").exists() or (run / "last.pt").stat().st_mtime_ns == started:
            time.sleep(0.001)
            assert process.poll() is None
        time.sleep(random.SystemRandom().uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills.append(checkpoint.read(run / "last.pt").training["position"]["iteration"])
    print("killed after the checkpoints of steps", kills)
    assert kills[-1] < 24
    assert_same_run(tmp_path / "whole", run)


class Interrupting(DetectionDataset):
    """Presses Ctrl-C when it is asked for its ``calls``-th sample."""

    calls = 0

    def sample(self, i: int, masks: Any = "none") -> Any:
        Interrupting.calls -= 1
        if Interrupting.calls == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return super().sample(i, masks)


def interrupting(data: DetectionDataset, calls: int) -> DetectionDataset:
    Interrupting.calls = calls
    fields = {field.name: getattr(data, field.name) for field in dataclasses.fields(data)}
    return Interrupting(**fields)


@pytest.mark.usefixtures("foreground")
@pytest.mark.parametrize("calls", [2, 10])
def test_an_evaluation_that_is_interrupted_is_made_up_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], calls: int
) -> None:
    """One in the middle of the run, and the last one."""
    experiment = tiny_experiment(optimizer=AdamWConfig(lr=0.001))
    data = make_data(tmp_path / "data")
    whole = train(experiment, build(experiment), data, data, tmp_path / "whole")
    stopped = interrupting(data, calls)
    result = train(experiment, build(experiment), data, stopped, tmp_path / "run")
    assert result.stop_signal == signal.SIGINT
    assert Interrupting.calls == 0  # no image was read after it
    shown = capsys.readouterr().out
    assert f"stopped after step {result.iterations} of 8" in shown
    assert "its evaluation was not finished: --resume starts with it" in shown
    again = train(experiment, build(experiment), data, data, tmp_path / "run", resume=True)
    assert again.metrics is not None
    assert whole.metrics is not None
    assert again.metrics.to_json() == whole.metrics.to_json()
    for name in ("last.pt", "best.pt"):
        one, other = (checkpoint.read(tmp_path / run / name) for run in ("whole", "run"))
        assert_same(dataclasses.asdict(one), dataclasses.asdict(other), name)


def test_damaged_metrics_are_told_when_a_run_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment, data = tiny_experiment(), make_data(tmp_path / "data")
    run = tmp_path / "run"
    train(experiment, build(experiment), data, None, run)
    with (run / "metrics.jsonl").open("ab") as file:
        file.write(b"\0\0\n")
    longer = tiny_experiment(schedule=epochs(3, milestones=(1,)))
    train(longer, build(longer), data, None, run, resume=True)
    for shown in (capsys.readouterr().out, (run / "log.txt").read_text()):
        assert "1 unreadable lines left out" in shown


@pytest.mark.usefixtures("foreground")
def test_ctrl_c_finishes_the_step_and_keeps_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = tiny_experiment(optimizer=AdamWConfig(lr=0.001))
    data = make_data(tmp_path / "data")
    whole = train(experiment, build(experiment), data, data, tmp_path / "whole")
    assert not whole.interrupted
    stopped = interrupting(data, calls=4)
    result = train(experiment, build(experiment), stopped, data, tmp_path / "run")
    assert result.interrupted
    assert result.iterations == 2
    last = tmp_path / "run" / "last.pt"
    assert f"stopped after step 2 of 8; saved in {last}" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    train(experiment, build(experiment), data, data, tmp_path / "run", resume=True)
    for name in ("last.pt", "best.pt"):
        one, other = (checkpoint.read(tmp_path / run / name) for run in ("whole", "run"))
        assert_same(dataclasses.asdict(one), dataclasses.asdict(other), name)


def test_a_full_disk_leaves_the_previous_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = tiny_experiment(model=tiny_two_stage())
    data = make_data(tmp_path / "data")
    train(experiment, build(experiment), data, data, tmp_path / "whole")
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        save, calls = torch.save, 0

        def fill(content: Any, file: Any) -> None:
            nonlocal calls
            calls += 1
            if calls == 4:  # 1 before the first step, 2 and 3 after the first epoch
                file.write(b"half of it")
                raise OSError(errno.ENOSPC, "No space left on device")
            save(content, file)

        patch.setattr(torch, "save", fill)
        with pytest.raises(CheckpointError, match=r"No space left on device.*unchanged"):
            train(experiment, build(experiment), data, data, run)
    assert checkpoint.read(run / "last.pt").training["position"]["iteration"] == 4
    train(experiment, build(experiment), data, data, run, resume=True)
    assert_same_run(tmp_path / "whole", run)


def test_what_a_kill_while_writing_left_is_removed(tmp_path: Path) -> None:
    experiment = tiny_experiment()
    data = make_data(tmp_path / "data")
    train(experiment, build(experiment), data, None, tmp_path / "run")
    torn = tmp_path / "run" / ".last.pt.abc.tmp"
    torn.write_bytes(b"half of it")
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "tr')
    before = (tmp_path / "run" / "last.pt").read_bytes()
    result = train(experiment, build(experiment), data, None, tmp_path / "run", resume=True)
    assert not torn.exists()
    assert result.iterations == 8
    assert result.metrics is None
    assert [record["iteration"] for record in history(tmp_path / "run")] == [4, 8]
    assert (tmp_path / "run" / "last.pt").read_bytes() == before


def test_a_finished_run_can_be_lengthened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = tiny_experiment()
    data = make_data(tmp_path / "data")
    train(experiment, build(experiment), data, None, tmp_path / "run")
    longer = dataclasses.replace(experiment, schedule=experiment.schedule.stretched_to(3))
    result = train(longer, build(longer), data, None, tmp_path / "run", resume=True)
    assert result.iterations == 12
    assert "resuming with a changed setting: schedule.length 2 -> 3" in capsys.readouterr().out


def test_what_dynamic_rcnn_adapts_is_kept(tmp_path: Path) -> None:
    """It is in no published checkpoint, so it travels with the rest of the training."""
    config = tiny_two_stage()
    standard = config.roi_head
    assert isinstance(standard, StandardRoIHeadConfig)
    roi_head = DynamicRoIHeadConfig(
        extractor=standard.extractor,
        box_head=BoxHeadConfig(fc_channels=16, box_loss=SmoothL1Loss()),
        sampler=standard.sampler,
        update_interval=3,
    )
    experiment = tiny_experiment(model=dataclasses.replace(config, roi_head=roi_head))
    data = make_data(tmp_path / "data")
    whole = build(experiment)
    train(experiment, whole, data, None, tmp_path / "whole")
    schedule = dataclasses.replace(experiment.schedule, length=1)
    half = dataclasses.replace(experiment, schedule=schedule)
    train(half, build(half), data, None, tmp_path / "run")
    resumed = build(experiment)
    train(experiment, resumed, data, None, tmp_path / "run", resume=True)
    buffers = dict(resumed.named_buffers())
    assert buffers["roi_head.steps"].item() == 8
    assert buffers["roi_head.min_positive_iou"].item() != roi_head.first_iou
    for name, value in whole.named_buffers():
        assert torch.equal(buffers[name], value), name


def half_then_whole(experiment: Experiment, folder: Path) -> None:
    """A run that ends after an epoch and goes on equals one without a pause."""
    data = make_data(folder / "data")
    train(experiment, build(experiment), data, data, folder / "whole")
    schedule = dataclasses.replace(experiment.schedule, length=1)
    half = dataclasses.replace(experiment, schedule=schedule)
    train(half, build(half), data, data, folder / "run")
    train(experiment, build(experiment), data, data, folder / "run", resume=True)
    one, other = (checkpoint.read(folder / run / "last.pt") for run in ("whole", "run"))
    assert_same(dataclasses.asdict(one), dataclasses.asdict(other), "last.pt")
    assert history(folder / "whole") == history(folder / "run")


OPTIMIZERS = [
    AdagradConfig(lr=0.01, lr_decay=0.1),
    AdamaxConfig(lr=0.001),
    NAdamConfig(lr=0.001),
    RAdamConfig(lr=0.001),
    RMSpropConfig(lr=0.001, momentum=0.5, centered=True),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=[type(one).__name__ for one in OPTIMIZERS])
def test_state_of_every_optimizer(tmp_path: Path, optimizer: OptimizerConfig) -> None:
    """Beside an average of parameters alone, of every third step: an epoch has four."""
    ema = EMAConfig(momentum=0.1, warmup=2, every=3, averages_buffers=False)
    half_then_whole(tiny_experiment(optimizer=optimizer, ema=ema), tmp_path)


def test_the_momentum_is_that_of_the_step(tmp_path: Path) -> None:
    momentum = MomentumSchedule(policy=Step(milestones=(1,), gamma=0.5))
    schedule = dataclasses.replace(epochs(2), momentum=momentum)
    half_then_whole(tiny_experiment(schedule=schedule), tmp_path)
    for run, wanted in (("whole", 0.45), ("run", 0.45)):
        state = checkpoint.read(tmp_path / run / "last.pt").training
        assert state is not None
        groups = state["optimizer"]["param_groups"]
        assert [group["momentum"] for group in groups] == [wanted] * len(groups)


def test_a_teacher_is_there_again(tmp_path: Path) -> None:
    """It is in no checkpoint of its student, but in the file that the configuration names."""
    anchors = AnchorGrid(scales=(2.0,), ratios=(1.0,))  # of the size of the rectangles
    small: dict[str, Any] = {"num_convs": 1, "channels": 8, "norm": None, "priors": anchors}
    parts: dict[str, Any] = {"backbone": BACKBONE, "neck": FPNConfig(out_channels=8, num_outputs=2)}
    teacher = SingleStageConfig(**parts, bbox_head=GFLHeadConfig(**small))
    taught = tiny_experiment(model=teacher)
    torch.manual_seed(7)
    file = tmp_path / "teacher.pt"
    weights = taught.build_model().state_dict()
    torch.nn.init.normal_(weights["bbox_head.gfl_reg.weight"], std=10)  # it is sure of its sides
    checkpoint.save(file, Checkpoint(taught, weights))
    head = LDHeadConfig(**small)
    student = DistilledConfig(**parts, bbox_head=head, teacher=teacher, teacher_weights=str(file))
    half_then_whole(tiny_experiment(model=student), tmp_path)
    records = history(tmp_path / "run")
    losses = [record["loss_ld"] for record in records if "loss_ld" in record]
    assert len(losses) == 2
    assert min(losses) > 0


class TestRefusals:
    @pytest.fixture
    def data(self, tmp_path: Path) -> DetectionDataset:
        return make_data(tmp_path / "data")

    @pytest.fixture
    def run(self, tmp_path: Path, data: DetectionDataset) -> Path:
        experiment = tiny_experiment()
        train(experiment, build(experiment), data, None, tmp_path / "run")
        return tmp_path / "run"

    def test_a_run_is_not_written_over(self, run: Path, data: DetectionDataset) -> None:
        before = (run / "last.pt").read_bytes()
        experiment = tiny_experiment()
        with pytest.raises(CheckpointError, match=r"last\.pt: already exists"):
            train(experiment, build(experiment), data, None, run)
        assert (run / "last.pt").read_bytes() == before

    def test_other_classes(self, run: Path, data: DetectionDataset) -> None:
        experiment = tiny_experiment(class_names=("green", "red"))
        other = data.select_classes(("green", "red"))
        with pytest.raises(CheckpointError, match="trained on the classes red, green"):
            train(experiment, build(experiment), other, None, run, resume=True)

    def test_epochs_of_another_length(self, run: Path, data: DetectionDataset) -> None:
        experiment = tiny_experiment(accumulate=2)
        with pytest.raises(CheckpointError, match="4 steps long and would now be 2"):
            train(experiment, build(experiment), data, None, run, resume=True)

    def test_another_model(self, run: Path, data: DetectionDataset) -> None:
        experiment = tiny_experiment(model=tiny_two_stage())
        with pytest.raises(CheckpointError, match="belong to another model"):
            train(experiment, build(experiment), data, None, run, resume=True)

    def test_another_optimizer(self, run: Path, data: DetectionDataset) -> None:
        experiment = tiny_experiment(optimizer=AdamWConfig(lr=0.1, norm_weight_decay_scale=0.0))
        with pytest.raises(CheckpointError, match="its optimizer is different"):
            train(experiment, build(experiment), data, None, run, resume=True)

    def test_weights_without_training(self, run: Path, data: DetectionDataset) -> None:
        experiment = tiny_experiment()
        weights = checkpoint.read(run / "last.pt").model
        checkpoint.save(run / "last.pt", Checkpoint(experiment, weights))
        with pytest.raises(CheckpointError, match="no training state to resume"):
            train(experiment, build(experiment), data, None, run, resume=True)
