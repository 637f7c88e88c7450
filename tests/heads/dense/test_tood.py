from __future__ import annotations

from pathlib import Path

import pytest
import torch

from detzoo.heads.dense.tood import TOODHeadConfig, geometric_mean
from detzoo.structures import ImageInfo, Targets
from detzoo.train.loop import train
from tests.train.tiny import build, make_data, tiny_experiment


def test_geometric_mean() -> None:
    a, b = torch.tensor([0.0, 2, -3, 5]).double(), torch.tensor([1.0, -4, -3, 7]).double()
    wanted = torch.logit((a.sigmoid() * b.sigmoid()).sqrt())
    torch.testing.assert_close(geometric_mean(a, b), wanted)


@pytest.mark.parametrize("size", [30.0, 80.0, 300.0, -300.0])
def test_geometric_mean_of_certain_scores(size: float) -> None:
    a = torch.tensor([size], requires_grad=True)
    mean = geometric_mean(a, a)
    mean.backward()
    assert mean.isfinite()
    assert a.grad.isfinite()
    if abs(size) < 80:
        torch.testing.assert_close(mean, a)
        torch.testing.assert_close(a.grad, torch.ones(1))


def test_the_first_epochs_train_on_another_assignment() -> None:
    torch.manual_seed(0)
    head = TOODHeadConfig(num_convs=1, channels=32, initial_epochs=2).build((8,), (8,), 3)
    predictions = head((torch.randn(1, 8, 12, 12),))
    targets = [Targets.of(torch.tensor([[10.0, 10, 70, 80]]), torch.tensor([1]))]
    infos = [ImageInfo.of((96, 96))]
    by_epoch = []
    for epoch in range(4):
        head.enter_epoch(epoch)
        by_epoch.append(head.loss(predictions, targets, infos)["loss_cls"].item())
    assert by_epoch[0] == by_epoch[1] != by_epoch[2] == by_epoch[3]


def test_training_tells_the_epoch(tmp_path: Path) -> None:
    """Once in each epoch, and when a run is resumed."""
    data = make_data(tmp_path / "data", images=4)
    experiment = tiny_experiment()
    model = build(experiment)
    entered: list[int] = []
    model.enter_epoch = entered.append  # type: ignore[method-assign]
    train(experiment, model, data, None, tmp_path / "run", quiet=True)
    assert entered == list(range(experiment.schedule.length))
