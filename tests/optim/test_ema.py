from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from detzoo.optim.ema import EMAConfig


def test_momentum_falls_from_one_to_its_value() -> None:
    ema = EMAConfig(momentum=0.1, warmup=10)
    wanted = [0.9 * math.exp(-(1 + step) / 10) + 0.1 for step in (0, 5, 1000)]
    assert [ema.momentum_at(step) for step in (0, 5, 1000)] == pytest.approx(wanted)
    assert EMAConfig(momentum=0.1, warmup=0).momentum_at(0) == 0.1


def test_momentum_grows_linearly_to_its_value() -> None:
    ema = EMAConfig(momentum=0.1, warmup=100, kind="linear")
    assert [ema.momentum_at(step) for step in (0, 4, 1000)] == [1 / 100, 5 / 104, 0.1]


def test_average_of_parameters_and_buffers_equals_the_formula() -> None:
    model = nn.BatchNorm1d(1)
    average = EMAConfig(momentum=0.25, warmup=2).build(model)
    weight, mean = 1.0, 0.0
    for step in range(4):
        nn.init.constant_(model.weight, 3.0 * step)
        model.running_mean.fill_(step - 5.0)
        model.num_batches_tracked.fill_(step)
        average.update(model)
        momentum = 0.75 * math.exp(-(1 + step) / 2) + 0.25
        weight += momentum * (3.0 * step - weight)
        mean += momentum * (step - 5.0 - mean)
    assert average.average["weight"].item() == pytest.approx(weight)
    assert average.average["running_mean"].item() == pytest.approx(mean)
    assert average.average["num_batches_tracked"].item() == 3


def test_an_average_of_parameters_alone_now_and_then() -> None:
    """Running statistics are those of the model, at any step."""
    model = nn.BatchNorm1d(1)
    config = EMAConfig(momentum=0.25, warmup=0, every=2, averages_buffers=False)
    average = config.build(model)
    weight = 1.0
    for step in range(5):
        nn.init.constant_(model.weight, 3.0 * step)
        model.running_mean.fill_(step - 5.0)
        average.update(model)
        if step in (1, 3):
            weight += 0.25 * (3.0 * step - weight)
        assert average.average["weight"].item() == pytest.approx(weight)
        assert average.average["running_mean"].item() == step - 5.0


def test_swapping_twice_changes_no_bit() -> None:
    model = nn.Linear(3, 2)
    average = EMAConfig().build(model)
    before = {name: value.clone() for name, value in average.average.items()}
    nn.init.normal_(model.weight)
    trained = model.weight.detach().clone()
    average.swap(model)
    assert torch.equal(model.weight, before["weight"])
    assert torch.equal(average.average["weight"], trained)
    average.swap(model)
    assert torch.equal(model.weight, trained)
    assert torch.equal(average.average["weight"], before["weight"])
