"""Runs of training on a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from detzoo.checkpoints import checkpoint
from detzoo.checkpoints.checkpoint import Checkpoint
from detzoo.optim.schedules import epochs
from detzoo.train.batch_size import step_memory, with_largest_batch
from detzoo.train.callbacks.base import Callback
from detzoo.train.loop import train
from detzoo.train.trainer import Trainer
from tests.detectors import models
from tests.detectors.test_edge_cases import TARGETS
from tests.train.tiny import build, make_data, tiny_experiment, tiny_two_stage

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_low_precision(precision: str, tmp_path: Path, device: torch.device) -> None:
    """The loss falls; in fp16 a scaler keeps gradients in range, and its state is saved."""
    experiment = tiny_experiment(precision=precision, schedule=epochs(4))
    data, run = make_data(tmp_path / "data"), tmp_path / "run"
    train(experiment, build(experiment), data, None, run, device=device, quiet=True, log_interval=1)
    saved = checkpoint.read(run / "last.pt")
    assert all(value.isfinite().all() for value in saved.model.values())
    assert saved.training is not None
    assert bool(saved.training["scaler"]) == (precision == "fp16")


class Stop(Callback):
    """Ends a run after its third step."""

    def on_step(self, trainer: Trainer) -> None:
        if trainer.position.iteration == 3:
            trainer.stop()


def test_resuming(tmp_path: Path, device: torch.device) -> None:
    """Up to the order in which a GPU adds."""
    data, experiment = make_data(tmp_path / "data"), tiny_experiment(model=tiny_two_stage())

    def run(name: str, resume: bool, callbacks: tuple[Callback, ...] = ()) -> Checkpoint:
        train(
            experiment,
            build(experiment),
            data,
            None,
            tmp_path / name,
            device=device,
            resume=resume,
            callbacks=callbacks,
            quiet=True,
        )
        return checkpoint.read(tmp_path / name / "last.pt")

    whole, stopped = run("whole", False), run("stopped", False, (Stop(),))
    assert whole.training is not None
    assert stopped.training is not None
    assert stopped.training["position"]["iteration"] == 3
    resumed = run("stopped", True)
    assert resumed.training is not None
    assert resumed.training["position"] == whole.training["position"]
    exactly = {"rtol": 0, "atol": 0} if device.type == "cpu" else {"rtol": 1e-3, "atol": 1e-3}
    torch.testing.assert_close(dict(resumed.model), dict(whole.model), **exactly)


def test_one_process_of_a_group(device: torch.device) -> None:
    """NCCL, with gradients and statistics that are averaged over one process."""
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    try:
        model = build(tiny_experiment(model=tiny_two_stage())).to(device)
        parallel = DistributedDataParallel(
            model, device_ids=[device] if device.type == "cuda" else None
        )
        batch = models.images(2)
        pixels = batch.pixels.to(device)
        targets = [target.to(device) for target in TARGETS["ordinary"]]
        losses = parallel(type(batch)(pixels, batch.infos), targets)
        losses.total().backward()
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    finally:
        dist.destroy_process_group()


def test_deterministic_runs(tmp_path: Path, device: torch.device) -> None:
    """Equal to the bit."""
    data, experiment = make_data(tmp_path / "data"), tiny_experiment(model=tiny_two_stage())

    def run(name: str) -> Checkpoint:
        train(
            experiment,
            build(experiment),
            data,
            None,
            tmp_path / name,
            device=device,
            deterministic=True,
            quiet=True,
        )
        return checkpoint.read(tmp_path / name / "last.pt")

    once, twice = run("once").model, run("twice").model
    assert all(torch.equal(once[name], twice[name]) for name in once)


def test_the_largest_batch(tmp_path: Path, device: torch.device) -> None:
    """Memory grows with the batch, and is given back."""
    if device.type != "cuda":
        pytest.skip("only on a GPU")
    data, experiment = make_data(tmp_path / "data", 160), tiny_experiment()
    model = build(experiment)
    step = step_memory(experiment, model, data, device)
    small, large = step(1), step(64)
    assert small is not None
    assert large is not None
    assert small < large
    found, note = with_largest_batch(experiment, model, data, device)
    assert found.data.images_per_device == 16
    assert "fewer than 10 steps" in note
    assert next(model.parameters()).device.type == "cpu"
