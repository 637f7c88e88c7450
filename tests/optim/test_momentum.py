"""Schedules of the momentum, against what mmcv's hooks set and PyTorch's one cycle."""

from __future__ import annotations

import math

import pytest
import torch

from detzoo.config import ConfigError
from detzoo.experiment import DataConfig, Experiment
from detzoo.optim.adaptive import (
    AdagradConfig,
    AdamaxConfig,
    NAdamConfig,
    RAdamConfig,
    RMSpropConfig,
)
from detzoo.optim.cycles import Cyclic, OneCycle
from detzoo.optim.optimizers import AdamConfig, AdamWConfig, SGDConfig, set_momentum
from detzoo.optim.schedules import Cosine, MomentumSchedule, Schedule, Step, Warmup
from tests.tiny import tiny_retinanet

EPOCH = 10  # iterations


def over(momentum: MomentumSchedule, length: int = 6) -> list[float]:
    """The factors of all iterations of a run of so many epochs."""
    schedule = Schedule(length=length, warmup=None, momentum=momentum)
    return [schedule.momentum_factor(i, EPOCH) for i in range(length * EPOCH)]


@pytest.mark.parametrize("symmetric", [False, True])
def test_one_cycle_is_that_of_pytorch(symmetric: bool) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0, momentum=0.9)
    reference = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=0.5,
        total_steps=60,
        base_momentum=0.8,
        max_momentum=0.95,
        three_phase=symmetric,
    )
    policy = OneCycle(
        peak=0.8 / 0.9, start_divisor=0.8 / 0.95, final_divisor=1.0, symmetric=symmetric
    )
    for i, factor in enumerate(over(MomentumSchedule(policy=policy))):
        wanted = optimizer.param_groups[0]["momentum"]
        assert 0.9 * factor == pytest.approx(wanted, rel=1e-9), i
        optimizer.step()
        if i < 59:
            reference.step()


def test_cycles_by_hand() -> None:
    """CenterPoint's: from 0.95 to 0.85 in two fifths of the run, and back."""
    found = over(MomentumSchedule(policy=Cyclic(peak=0.85 / 0.95, final_factor=1.0)), length=5)
    assert [0.95 * found[i] for i in (0, 10, 20, 35)] == pytest.approx([0.95, 0.9, 0.85, 0.9])
    part = 0.95 + (0.85 - 0.95) * (1 - math.cos(math.pi * 3 / 20)) / 2
    assert 0.95 * found[3] == pytest.approx(part)


def test_a_warm_up_divides() -> None:
    warmup = Warmup(iterations=4, ratio=0.8)
    found = over(MomentumSchedule(policy=Cosine(final_factor=0.5), warmup=warmup), length=2)
    # The rate's factors would be .8, .85, .9, .95.
    assert found[:5] == pytest.approx([1 / 0.8, 1 / 0.85, 1 / 0.9, 1 / 0.95, 1])
    assert found[10] == pytest.approx(0.75)  # epoch 1 of 2
    with pytest.raises(ConfigError, match="cannot be 0"):
        MomentumSchedule(policy=Cosine(), warmup=Warmup(ratio=0))


def test_what_is_counted() -> None:
    steps = MomentumSchedule(policy=Step(milestones=(15,), gamma=0.5), policy_unit="iterations")
    assert [over(steps)[i] for i in (14, 15)] == [1.0, 0.5]
    assert [over(MomentumSchedule(policy=Step(milestones=(2,))))[i] for i in (19, 20)] == [1.0, 0.1]
    schedule = Schedule(length=6, momentum=MomentumSchedule(policy=Step(milestones=(2,))))
    longer = schedule.stretched_to(12)
    assert [longer.momentum_factor(i, EPOCH) for i in (39, 40)] == [1.0, 0.1]
    assert Schedule().momentum_factor(5, EPOCH) == 1.0


def test_what_has_a_momentum() -> None:
    assert SGDConfig(lr=1, momentum=0.8).scheduled_momentum == 0.8
    assert RMSpropConfig(lr=1, momentum=0.8).scheduled_momentum == 0.8
    for kind in (AdamConfig, AdamWConfig, AdamaxConfig, NAdamConfig, RAdamConfig):
        assert kind(lr=1, betas=(0.8, 0.9)).scheduled_momentum == 0.8
    assert SGDConfig(lr=1, momentum=0).scheduled_momentum is None
    group = {"betas": (0.9, 0.999)}
    set_momentum(group, 0.5)
    assert group == {"betas": (0.5, 0.999)}
    momentum = Schedule(momentum=MomentumSchedule(policy=Cosine()))
    data = DataConfig(train_transforms=(), test_transforms=())
    with pytest.raises(ConfigError, match="this optimizer has no momentum"):
        Experiment(
            model=tiny_retinanet(("a",)).model,
            class_names=("a",),
            data=data,
            optimizer=AdagradConfig(lr=1),
            schedule=momentum,
        )
