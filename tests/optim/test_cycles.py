"""Schedules that rise and fall, against PyTorch's and against mmcv's formulas."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from detzoo.optim.cycles import Cyclic, OneCycle
from detzoo.optim.schedules import CosineRestart, Inverse, Schedule, Step, Warmup

EPOCH = 10  # iterations


@pytest.mark.parametrize("kind", ["cosine", "linear"])
@pytest.mark.parametrize("symmetric", [False, True])
def test_one_cycle_is_that_of_pytorch(kind: Any, symmetric: bool) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    reference = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=0.5,
        total_steps=60,
        pct_start=0.25,
        div_factor=20.0,
        final_div_factor=100.0,
        anneal_strategy="cos" if kind == "cosine" else "linear",
        three_phase=symmetric,
    )
    policy = OneCycle(
        peak=0.5, rise=0.25, start_divisor=20.0, final_divisor=100.0, kind=kind, symmetric=symmetric
    )
    schedule = Schedule(length=6, policy=policy, warmup=None)
    for i in range(60):
        assert schedule.factor(i, EPOCH) == pytest.approx(reference.get_last_lr()[0], rel=1e-9), i
        optimizer.step()
        if i < 59:
            reference.step()


def half_cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2


CYCLES = {
    # 50 iterations are two cycles of 25: 10 of them rise. The second top is half as far up.
    0: 1.0,
    5: half_cosine(1, 10, 0.5),
    9: half_cosine(1, 10, 0.9),
    10: 10.0,
    24: half_cosine(10, 1e-4, 14 / 15),
    25: 1.0,
    30: half_cosine(1, 5.5, 0.5),
    35: 5.5,
    49: half_cosine(5.5, 1e-4, 14 / 15),
}


def test_cycles() -> None:
    schedule = Schedule(length=5, policy=Cyclic(cycles=2, gamma=0.5), warmup=None)
    found = {i: schedule.factor(i, EPOCH) for i in CYCLES}
    assert found == pytest.approx(CYCLES, rel=1e-12)
    linear = Schedule(length=5, policy=Cyclic(peak=2.0, kind="linear"), warmup=None)
    assert linear.factor(5, EPOCH) == 1.25
    assert linear.factor(35, EPOCH) == pytest.approx((2 + 1e-4) / 2)


def test_cycles_are_as_long_in_iterations() -> None:
    """What is left after the last whole cycle begins another one."""
    policy = Cyclic(cycles=3)
    epochs = Schedule(length=5, policy=policy, warmup=None)
    steps = Schedule(length=50, unit="iterations", policy=policy, warmup=None)
    assert [epochs.factor(i, EPOCH) for i in range(50)] == [steps.factor(i, 7) for i in range(50)]
    assert steps.factor(48, 7) == steps.factor(0, 7)


def test_inverse() -> None:
    policy = Inverse(gamma=0.5, power=2.0)
    schedule = Schedule(length=5, policy=policy, warmup=None)
    assert [schedule.factor(i, EPOCH) for i in (9, 10, 40)] == [1.0, 1 / 1.5**2, 1 / 9]
    policy = Inverse(gamma=0.5, power=2.0, per_iteration=True)
    schedule = Schedule(length=5, policy=policy, warmup=None)
    assert [schedule.factor(i, EPOCH) for i in (0, 1, 40)] == [1.0, 1 / 1.5**2, 1 / 21**2]


def test_policies_that_count_otherwise_than_the_run() -> None:
    steps = Step(milestones=(15,))
    schedule = Schedule(length=5, policy=steps, policy_unit="iterations", warmup=None)
    assert [schedule.factor(i, EPOCH) for i in (14, 15)] == [1.0, 0.1]
    restarts = CosineRestart(periods=(20, 30), weights=(1.0, 0.5))
    schedule = Schedule(length=5, policy=restarts, policy_unit="iterations", warmup=None)
    assert [schedule.factor(i, EPOCH) for i in (0, 10, 20, 35)] == pytest.approx(
        [1, 0.5, 0.5, 0.25]
    )
    schedule = Schedule(
        length=50,
        unit="iterations",
        policy=Step(milestones=(2,)),
        policy_unit="epochs",
        warmup=None,
    )
    assert [schedule.factor(i, EPOCH) for i in (19, 20)] == [1.0, 0.1]


def test_warm_up_multiplies_what_the_policy_says() -> None:
    warmups = {"constant": 0.2, "linear": 0.6, "exponential": math.sqrt(0.2)}
    for kind, factor in warmups.items():
        warmup = Warmup(iterations=8, ratio=0.2, kind=kind)  # type: ignore[arg-type]
        schedule = Schedule(length=5, policy=Cyclic(), warmup=warmup)
        cycle = Schedule(length=5, policy=Cyclic(), warmup=None)
        assert schedule.factor(4, EPOCH) == pytest.approx(factor * cycle.factor(4, EPOCH))
        assert schedule.factor(8, EPOCH) == cycle.factor(8, EPOCH)
