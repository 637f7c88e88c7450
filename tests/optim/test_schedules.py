from __future__ import annotations

import json
import math

import pytest

from detzoo.config import ConfigError
from detzoo.optim.schedules import (
    Cosine,
    CosineRestart,
    Exponential,
    FlatCosine,
    Policy,
    Poly,
    Schedule,
    Step,
    Warmup,
    YOLOXCosine,
    epochs,
    iterations,
)
from tests.shared import shared

EPOCH = 100  # iterations, in the references

# Learning rates of MMDetection 2.28.2 at some iterations, with 100 iterations per epoch.
CURVES = [
    (
        0.02,
        epochs(12),
        {0: 2e-05, 1: 5.996e-05, 490: 0.0196004, 499: 0.01996004, 500: 0.02, 799: 0.02}
        | {800: 0.002, 1099: 0.002, 1100: 0.0002, 1199: 0.0002},
    ),
    (0.01, epochs(24), {1: 2.998e-05, 1599: 0.01, 1600: 0.001, 2199: 0.001, 2200: 0.0001}),
    (0.02, epochs(12, milestones=(9, 11)), {899: 0.02, 900: 0.002, 1100: 0.0002}),
    (0.02, epochs(36, milestones=(28, 34)), {2799: 0.02, 2800: 0.002, 3400: 0.0002}),
    (
        0.01,
        epochs(12, warmup=Warmup(ratio=1 / 3, kind="constant")),
        {0: 0.0033333333, 499: 0.0033333333, 500: 0.01},
    ),
    # The rate already falls at epoch 17 and 23 while the warm-up still lasts.
    (
        0.02,
        epochs(25, milestones=(17, 23), warmup=Warmup(iterations=3665, ratio=1 / 80)),
        {0: 0.00025, 1: 0.00025538881, 2400: 0.00013183151, 2499: 0.00013716644},
    ),
    (
        0.015,
        Schedule(length=120, policy=Cosine()),
        {1: 4.497e-05, 11500: 6.416354e-05, 11900: 2.5700627e-06, 11999: 2.5700627e-06},
    ),
]


# By mmcv's formulas, by hand.
OTHERS: list[tuple[Schedule, dict[int, float]]] = [
    # Half of ten epochs at the whole rate, then the cosine of epochs passed.
    (
        Schedule(
            length=10,
            policy=FlatCosine(start=0.5, final_factor=0.2, per_iteration=False),
            warmup=None,
        ),
        {0: 1.0, 599: 1.0, 600: 0.2 + 0.4 * (1 + math.cos(math.pi / 5))}
        | {999: 0.2 + 0.4 * (1 + math.cos(math.pi * 4 / 5))},
    ),
    (
        Schedule(length=10, policy=FlatCosine(start=0.5, final_factor=0.2), warmup=None),
        {0: 1.0, 500: 1.0, 750: 0.6, 999: 0.2 + 0.4 * (1 + math.cos(math.pi * 499 / 500))},
    ),
    # Restarts at half of the rate; the last decay ends where it ends.
    (
        Schedule(
            length=6,
            policy=CosineRestart(periods=(2, 2), weights=(1.0, 0.5), final_factor=0.1),
            warmup=None,
        ),
        {0: 1.0, 199: 0.55, 200: 0.55, 300: 0.325, 400: 0.1, 599: 0.1},
    ),
    (
        Schedule(length=4, policy=CosineRestart(periods=(4,), per_iteration=True), warmup=None),
        {0: 1.0, 100: (1 + math.cos(math.pi / 4)) / 2, 200: 0.5},
    ),
    (Schedule(policy=Exponential(gamma=0.5), warmup=None), {0: 1.0, 99: 1.0, 350: 0.125}),
    (
        Schedule(policy=Exponential(gamma=0.99, per_iteration=True), warmup=None),
        {0: 1.0, 1: 0.99, 350: 0.99**350},
    ),
    (
        Schedule(
            length=300,
            unit="iterations",
            policy=Exponential(gamma=0.99, per_iteration=True),
            warmup=None,
        ),
        {250: 0.99**250},
    ),
    (Schedule(policy=Step(least_factor=0.05), warmup=None), {850: 0.1, 1150: 0.05}),
    (
        Schedule(warmup=Warmup(epochs=2, ratio=0.01, kind="exponential")),
        {0: 0.01, 100: 0.1, 199: 0.01 ** (1 / 200), 200: 1.0},
    ),
]


@pytest.mark.parametrize(("schedule", "curve"), OTHERS)
def test_other_curves(schedule: Schedule, curve: dict[int, float]) -> None:
    found = {i: schedule.factor(i, EPOCH) for i in curve}
    assert found == pytest.approx(curve, rel=1e-9)


@pytest.mark.parametrize(("rate", "schedule", "curve"), CURVES)
def test_curves(rate: float, schedule: Schedule, curve: dict[int, float]) -> None:
    found = {i: rate * schedule.factor(i, EPOCH) for i in curve}
    assert found == pytest.approx(curve, rel=1e-7)


def warmed(length: int, *milestones: int, warmup: Warmup | None = Warmup()) -> Schedule:  # noqa: B008
    return epochs(length, milestones=milestones, warmup=warmup)


# By number in schedules.json; the base rate is that of the configurations that use the curve.
# Not here: 40, which is YOLOX's own; 4, 13, 38 and 45, of runs that count iterations, whose
# references were recorded without the schedule.
REFERENCES: dict[int, Schedule] = {
    **dict.fromkeys((0, 6, 7, 11, 41), epochs(12)),
    **dict.fromkeys((1, 9, 15), epochs(24)),
    **dict.fromkeys((2, 10), warmed(12, 9, 11)),
    **dict.fromkeys((3, 8), warmed(36, 28, 34)),
    **dict.fromkeys((5, 12), warmed(24, 16, 23)),
    14: warmed(20, 16, 19),
    16: warmed(24, 16, 22, warmup=Warmup(iterations=1000, ratio=0.1)),
    17: Schedule(length=120, policy=Cosine()),
    18: warmed(24, 20, 23),
    19: warmed(48, 32, 44),
    20: warmed(24, 16, 22, warmup=Warmup(ratio=1 / 3)),
    21: warmed(12, 8, 11, warmup=Warmup(ratio=1 / 3)),
    22: warmed(12, 8, 11, warmup=Warmup(ratio=1 / 3, kind="constant")),
    23: warmed(24, 16, 22, warmup=Warmup(ratio=1 / 3, kind="constant")),
    24: warmed(12, 8, 11, warmup=Warmup(iterations=1000, ratio=0.1)),
    25: warmed(25, 17, 23, warmup=Warmup(iterations=3665, ratio=1 / 80)),
    26: warmed(28, 24, 27),
    27: warmed(73, 65, 71, warmup=Warmup(ratio=0.1)),
    28: warmed(50, 30, 40, warmup=Warmup(iterations=1000, ratio=0.1)),
    29: warmed(210, 180, warmup=Warmup(ratio=1 / 3)),
    30: warmed(273, 218, 246, warmup=Warmup(iterations=2000, ratio=0.1)),
    31: warmed(30, 24, 28, warmup=Warmup(iterations=4000, ratio=0.0001)),
    32: warmed(18, 12, 16),
    33: warmed(210, 190, warmup=Warmup(ratio=1 / 3)),
    34: warmed(150, 100, warmup=None),
    35: warmed(50, 40, warmup=None),
    **dict.fromkeys((36, 44), warmed(12, 8, 11, warmup=Warmup(iterations=1000))),
    37: warmed(12, 8, 11, warmup=Warmup(iterations=1500, ratio=0.00066667)),
    39: warmed(28, 18, 24, warmup=Warmup(iterations=1000)),
    42: warmed(36, 27, 33, warmup=Warmup(ratio=1 / 3)),
    43: warmed(36, 27, 33, warmup=Warmup(iterations=1000)),
    46: warmed(4, 3, warmup=None),
    47: warmed(24, 16, 20),
    48: warmed(8, 7),
    49: warmed(24, 16, 20, warmup=Warmup(iterations=1000)),
}


def test_all_curves_of_the_zoo() -> None:
    data = json.loads(shared("parity", "schedules.json").read_text())
    rates = {c["schedule"]: c["optimizer"]["lr"] for c in data["configurations"].values()}
    for number, schedule in REFERENCES.items():
        reference = data["schedules"][number]
        found = {
            i: rates[number] * schedule.factor(i, EPOCH) for i, _ in reference["learning_rate"]
        }
        assert found == pytest.approx(dict(reference["learning_rate"]), rel=1e-7), number
        assert schedule.length == reference["epochs"]
        assert schedule.total_iterations(EPOCH) == reference["iterations"]


def test_milestones_that_belong_to_the_length() -> None:
    assert epochs(12) == epochs(12, milestones=(8, 11))
    assert epochs(24) == epochs(24, milestones=(16, 22))


def test_iterations_count_in_iterations() -> None:
    schedule = iterations(90000, milestones=(60000, 80000))
    assert [schedule.factor(i, 7330) for i in (0, 500, 59999, 60000, 80000)] == pytest.approx(
        [0.001, 1, 1, 0.1, 0.01]
    )
    assert schedule.total_iterations(7330) == 90000


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [
        (Cosine(), [1, 1, (1 + math.cos(math.pi / 4)) / 2]),
        (Cosine(per_iteration=True, final_factor=0.5), [1, 0.9809699, 0.9267767]),
        (Poly(power=2.0), [1, 1, 0.5625]),
        (Poly(final_factor=0.2, per_iteration=True), [1, 0.9, 0.8]),
    ],
)
def test_falls_by_epoch_or_within_epochs(policy: Policy, wanted: list[float]) -> None:
    schedule = Schedule(length=4, policy=policy, warmup=None)
    assert [schedule.factor(i, 2) for i in (0, 1, 2)] == pytest.approx(wanted)


def test_stretching_keeps_the_course() -> None:
    assert epochs(12).stretched_to(24) == epochs(24)
    assert epochs(12).stretched_to(1).policy == Step(milestones=(1, 1))
    assert Schedule(policy=Poly()).stretched_to(3) == Schedule(length=3, policy=Poly())


def test_warmup_is_shortened_but_never_lengthened() -> None:
    assert epochs(12).with_warmup_within(20, EPOCH).warmup == Warmup(iterations=20)
    assert epochs(12).with_warmup_within(900, EPOCH) == epochs(12)
    assert epochs(12, warmup=None).with_warmup_within(20, EPOCH) == epochs(12, warmup=None)


def test_a_run_has_a_length() -> None:
    with pytest.raises(ConfigError, match="length: 0 is not at least 1"):
        epochs(0)


def test_yolox() -> None:
    """A parabola, half a cosine, a constant; each iteration counts when it is over."""
    schedule = Schedule(length=30, policy=YOLOXCosine(warmup=2, flat=8), warmup=None)
    assert schedule.factor(0, 10) == pytest.approx((1 / 20) ** 2)
    assert schedule.factor(19, 10) == pytest.approx(1.0)
    middle = 0.05 + 0.95 / 2
    assert schedule.factor(119, 10) == pytest.approx(middle)  # ten of the twenty epochs between
    assert schedule.factor(218, 10) > 0.05
    assert {schedule.factor(i, 10) for i in range(219, 300)} == {0.05}
    stretched = schedule.stretched_to(15).policy
    assert stretched == YOLOXCosine(warmup=1, flat=4)
    assert schedule.stretched_to(1).policy == YOLOXCosine(warmup=1, flat=0)


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="weights: 1 values for the 2 periods"):
        CosineRestart(periods=(1, 2))
    with pytest.raises(ConfigError, match="ratio: nothing grows exponentially from 0"):
        Warmup(ratio=0.0, kind="exponential")


def test_restarts_are_stretched() -> None:
    policy = CosineRestart(periods=(10, 20), weights=(1.0, 1.0))
    assert policy.stretched(0.5).periods == (5, 10)
