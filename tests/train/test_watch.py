from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
from torch import nn

from detzoo.optim.optimizers import AdamWConfig, OptimizerConfig, SGDConfig
from detzoo.structures import Batch, BitmapMasks, ImageInfo, Targets
from detzoo.train.distributed import Processes
from detzoo.train.watch import Interrupt, NonFiniteLossError, Watch

ALONE = Processes(0, 1, torch.device("cpu"))


def batch() -> Batch:
    masks = BitmapMasks(torch.ones((1, 4, 6), dtype=torch.uint8))
    target = Targets.of(torch.tensor([[0.0, 1.0, 2.0, 3.0]]), torch.tensor([1]), masks)
    info = ImageInfo.of((4, 6), id=7, path="images/a.jpg")
    return Batch(torch.full((1, 4, 6, 3), 9, dtype=torch.uint8), (info,), (target,))


def observe(watch: Watch, *, stop: bool = False, **losses: float) -> None:
    values = {name: torch.tensor(value) for name, value in losses.items()}
    watch.observe(torch.stack(list(values.values())).sum(), values, batch(), 5, stop)


def test_finite_losses_go_on_and_a_request_stops(tmp_path: Path) -> None:
    watch = Watch(ALONE, tmp_path, nn.Linear(1, 1))
    observe(watch, loss_cls=1.0)
    assert not watch.check()
    observe(watch, loss_cls=1.0, stop=True)
    observe(watch, loss_cls=1.0)
    assert watch.check()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_named_and_its_batch_saved(tmp_path: Path, value: float) -> None:
    watch = Watch(ALONE, tmp_path, nn.Linear(1, 1))
    observe(watch, loss_cls=1.0, loss_bbox=value)
    with pytest.raises(
        NonFiniteLossError, match=rf"step 5: loss_bbox is {value} for the images images/a\.jpg"
    ):
        watch.check()
    saved = torch.load(tmp_path / "nonfinite_rank0.pt", weights_only=True)
    assert saved["iteration"] == 5
    assert saved["losses"]["loss_cls"] == 1.0
    assert torch.equal(saved["pixels"], batch().pixels)
    assert saved["infos"][0]["path"] == "images/a.jpg"
    assert saved["targets"][0]["boxes"].tolist() == [[0.0, 1.0, 2.0, 3.0]]
    assert saved["targets"][0]["masks"].shape == (1, 4, 6)
    assert set(saved["model"]) == {"weight", "bias"}


@pytest.mark.parametrize("config", [SGDConfig(lr=0.5), AdamWConfig(lr=0.5)])
def test_no_weight_changes_from_a_bad_loss_on(tmp_path: Path, config: OptimizerConfig) -> None:
    """As on a GPU, where several steps pass before the loss is looked at."""
    model = nn.Linear(2, 2)
    optimizer = config.build(model)
    watch = Watch(ALONE, tmp_path, model)
    watch.guard(optimizer)

    def step(loss: float) -> torch.Tensor:
        observe(watch, loss=loss)
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        return model.weight.detach().clone()

    start = model.weight.detach().clone()
    good = step(1.0)
    assert not torch.equal(good, start)
    assert torch.equal(step(float("nan")), good)
    assert torch.equal(step(1.0), good)
    with pytest.raises(NonFiniteLossError):
        watch.check()


@pytest.mark.usefixtures("foreground")
def test_the_first_ctrl_c_asks_and_the_second_interrupts() -> None:
    said: list[str] = []
    with Interrupt(said.append) as interrupt:
        assert not interrupt.requested
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.requested
        assert said == ["finishing this step; press Ctrl-C again to stop immediately"]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("foreground")
def test_in_the_background_ctrl_c_is_for_others() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    said: list[str] = []
    with Interrupt(said.append) as interrupt:
        os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert not interrupt.requested
    assert said == []
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
