"""Schedules: pure functions from the iteration to a factor of the learning rate or momentum."""

from __future__ import annotations

import dataclasses
import itertools
import math
from abc import ABC, abstractmethod
from typing import Annotated, Literal

from detzoo.config import (
    ConfigError,
    NonEmpty,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Range,
    UnitFloat,
    config,
)


@config
class Policy(ABC):
    """Base class of learning rate decays; warm-up is separate."""

    @abstractmethod
    def factor(self, progress: float, length: float, step: float) -> float:
        """The factor of the learning rate after ``progress`` of ``length``, for an iteration that
        takes ``step``: all in epochs or all in iterations."""

    def stretched(self, scale: float) -> Policy:
        """Returns the same decay over a run that is ``scale`` times as long."""
        return self


@config
class Step(Policy):
    """Multiplies the learning rate by a factor at each milestone.

    Args:
        milestones: Epochs (or iterations) after which the learning rate decays.
        gamma: Factor of the learning rate at each milestone.
        least_factor: Factor of the learning rate below which it never falls.
    """

    milestones: tuple[NonNegativeInt, ...] = (8, 11)
    gamma: NonNegativeFloat = 0.1
    least_factor: NonNegativeFloat = 0.0

    def factor(self, progress: float, length: float, step: float) -> float:
        passed = sum(progress >= milestone for milestone in self.milestones)
        return max(self.gamma**passed, self.least_factor)

    def stretched(self, scale: float) -> Step:
        milestones = tuple(max(1, round(milestone * scale)) for milestone in self.milestones)
        return dataclasses.replace(self, milestones=milestones)


@config
class Cosine(Policy):
    """Cosine decay (https://arxiv.org/abs/1608.03983).

    Args:
        final_factor: Factor of the learning rate at the end.
        per_iteration: Whether the learning rate decays with every iteration, not every epoch.
    """

    final_factor: NonNegativeFloat = 0.0
    per_iteration: bool = False

    def factor(self, progress: float, length: float, step: float) -> float:
        done = (progress if self.per_iteration else math.floor(progress)) / length
        return self.final_factor + (1 - self.final_factor) * (1 + math.cos(math.pi * done)) / 2


@config
class FlatCosine(Policy):
    """The whole learning rate for a part of the run, then a cosine decay.

    Args:
        start: Part of the run after which the learning rate decays.
        final_factor: Factor of the learning rate at the end.
        per_iteration: Whether the learning rate decays with every iteration, not every epoch.
    """

    start: Annotated[float, Range(0, 1, below=True)] = 0.75
    final_factor: NonNegativeFloat = 0.0
    per_iteration: bool = True

    def factor(self, progress: float, length: float, step: float) -> float:
        start: float = round(self.start * length)
        if self.per_iteration:
            start = round(self.start * length / step) * step
        else:
            progress = math.floor(progress)
        done = max(0.0, (progress - start) / (length - start))
        return self.final_factor + (1 - self.final_factor) * (1 + math.cos(math.pi * done)) / 2


@config
class CosineRestart(Policy):
    """Cosine decays one after another (SGDR, https://arxiv.org/abs/1608.03983).

    Args:
        periods: Length of each decay, in epochs (or iterations).
        weights: Factor of the learning rate at the start of each, relative to the first.
        final_factor: Factor of the learning rate at the end of each.
        per_iteration: Whether the learning rate decays with every iteration, not every epoch.
    """

    periods: NonEmpty[PositiveInt]
    weights: NonEmpty[NonNegativeFloat] = (1.0,)
    final_factor: NonNegativeFloat = 0.0
    per_iteration: bool = False

    def __post_init__(self) -> None:
        if len(self.periods) != len(self.weights):
            raise ConfigError(
                f"weights: {len(self.weights)} values for the {len(self.periods)} periods"
            )

    def factor(self, progress: float, length: float, step: float) -> float:
        if not self.per_iteration:
            progress = math.floor(progress)
        ends = list(itertools.accumulate(self.periods))
        number = next((i for i, end in enumerate(ends) if progress < end), len(ends) - 1)
        period = self.periods[number]
        done = min((progress - ends[number] + period) / period, 1.0)
        height = self.weights[number] * (1 - self.final_factor)
        return self.final_factor + height * (1 + math.cos(math.pi * done)) / 2

    def stretched(self, scale: float) -> CosineRestart:
        periods = tuple(max(1, round(period * scale)) for period in self.periods)
        return dataclasses.replace(self, periods=periods)


@config
class Exponential(Policy):
    """Multiplies the learning rate by a factor after each epoch.

    Args:
        gamma: The factor.
        per_iteration: Whether it is that of an iteration.
    """

    gamma: PositiveFloat
    per_iteration: bool = False

    def factor(self, progress: float, length: float, step: float) -> float:
        passed = round(progress / step) if self.per_iteration else math.floor(progress)
        return self.gamma**passed


@config
class Inverse(Policy):
    """Divides the learning rate by ``(1 + gamma * t) ** power`` after ``t`` epochs.

    Args:
        gamma: Factor of the time passed.
        power: Exponent.
        per_iteration: Whether the time is counted in iterations.
    """

    gamma: PositiveFloat
    power: PositiveFloat = 1.0
    per_iteration: bool = False

    def factor(self, progress: float, length: float, step: float) -> float:
        passed = round(progress / step) if self.per_iteration else math.floor(progress)
        return float((1 + self.gamma * passed) ** -self.power)


@config
class Poly(Policy):
    """Polynomial decay: ``(1 - progress / length) ** power``.

    Args:
        power: Exponent; 1 is a linear decay.
        final_factor: Factor of the learning rate at the end.
        per_iteration: Whether the learning rate decays with every iteration, not every epoch.
    """

    power: PositiveFloat = 1.0
    final_factor: NonNegativeFloat = 0.0
    per_iteration: bool = False

    def factor(self, progress: float, length: float, step: float) -> float:
        done = (progress if self.per_iteration else math.floor(progress)) / length
        return self.final_factor + (1 - self.final_factor) * (1 - done) ** self.power


@config
class YOLOXCosine(Policy):
    """YOLOX's schedule: quadratic warm-up, cosine decay, then a constant learning rate.

    https://arxiv.org/abs/2107.08430

    Args:
        warmup: Epochs (or iterations) of warm-up.
        flat: Epochs (or iterations) at the end with a constant learning rate.
        final_factor: Factor of the learning rate at the end.
    """

    warmup: NonNegativeInt = 5
    flat: NonNegativeInt = 15
    final_factor: NonNegativeFloat = 0.05

    def factor(self, progress: float, length: float, step: float) -> float:
        done = progress + step  # including this iteration
        if progress < self.warmup:
            return (done / self.warmup) ** 2
        if done >= length - self.flat:
            return self.final_factor
        part = (done - self.warmup) / (length - self.warmup - self.flat)
        return self.final_factor + (1 - self.final_factor) * (1 + math.cos(math.pi * part)) / 2

    def stretched(self, scale: float) -> YOLOXCosine:
        return dataclasses.replace(
            self, warmup=max(1, round(self.warmup * scale)), flat=round(self.flat * scale)
        )


@config
class Warmup:
    """Warm-up: a lower learning rate in the first iterations.

    Args:
        iterations: Number of iterations of warm-up.
        ratio: Factor of the learning rate at the start.
        kind: Whether the factor increases linearly or exponentially to 1, or stays constant until
            the end.
        epochs: Number of epochs of warm-up instead; 0: ``iterations`` count.
    """

    iterations: NonNegativeInt = 500
    ratio: UnitFloat = 0.001
    kind: Literal["linear", "constant", "exponential"] = "linear"
    epochs: NonNegativeInt = 0

    def __post_init__(self) -> None:
        if self.kind == "exponential" and self.ratio == 0:
            raise ConfigError("ratio: nothing grows exponentially from 0")

    def factor(self, iteration: int) -> float:
        """The factor of the learning rate at ``iteration``, counted from 0."""
        if iteration >= self.iterations:
            return 1.0
        if self.kind == "constant":
            return self.ratio
        left = 1 - iteration / self.iterations
        return self.ratio**left if self.kind == "exponential" else 1 - left * (1 - self.ratio)

    def in_iterations(self, iterations_per_epoch: int) -> Warmup:
        """The same warm-up, as long in iterations."""
        if self.epochs == 0:
            return self
        return dataclasses.replace(self, iterations=self.epochs * iterations_per_epoch, epochs=0)


@config
class MomentumSchedule:
    """Changes of the momentum in a run: that of SGD and RMSprop, or Adam's first decay rate.

    Args:
        policy: What it says of the learning rate is said of the momentum.
        warmup: The momentum is divided by its factor of the learning rate, so that it is higher at
            first; None: no warm-up.
        policy_unit: What the milestones and periods of ``policy`` count; None: the same as the run.
    """

    policy: Policy
    warmup: Warmup | None = None
    policy_unit: Literal["epochs", "iterations"] | None = None

    def __post_init__(self) -> None:
        if self.warmup is not None and self.warmup.ratio == 0:
            raise ConfigError("warmup.ratio: the momentum is divided by it, so it cannot be 0")


@config
class Schedule:
    """The length of training, and the schedules of the learning rate and the momentum.

    Args:
        length: Number of epochs or iterations.
        unit: What ``length`` and intervals count. An iteration is an optimizer step.
        policy: Decay of the learning rate.
        warmup: Warm-up of the learning rate; None: no warm-up.
        policy_unit: What the milestones and periods of ``policy`` count; None: the same as
            ``length``.
        momentum: Changes of the momentum; None: it stays as it is.
    """

    length: PositiveInt = 12
    unit: Literal["epochs", "iterations"] = "epochs"
    policy: Policy = Step()
    warmup: Warmup | None = Warmup()
    policy_unit: Literal["epochs", "iterations"] | None = None
    momentum: MomentumSchedule | None = None

    @property
    def counts_epochs(self) -> bool:
        return self.unit == "epochs"

    def factor(self, iteration: int, iterations_per_epoch: int) -> float:
        """The factor of the learning rate in the given iteration, counted from 0."""
        by_epoch = (self.policy_unit or self.unit) == "epochs"
        per_count = iterations_per_epoch if by_epoch else 1
        length: float = self.length
        if by_epoch != self.counts_epochs:
            length = self.total_iterations(iterations_per_epoch) / per_count
        warmup = 1.0
        if self.warmup is not None:
            warmup = self.warmup.in_iterations(iterations_per_epoch).factor(iteration)
        return warmup * self.policy.factor(iteration / per_count, length, 1 / per_count)

    def momentum_factor(self, iteration: int, iterations_per_epoch: int) -> float:
        """The factor of the momentum in the given iteration, counted from 0."""
        if self.momentum is None:
            return 1.0
        policy, unit = self.momentum.policy, self.momentum.policy_unit
        alone = dataclasses.replace(self, policy=policy, policy_unit=unit, warmup=None)
        warmup = 1.0
        if self.momentum.warmup is not None:
            warmup = self.momentum.warmup.in_iterations(iterations_per_epoch).factor(iteration)
        return alone.factor(iteration, iterations_per_epoch) / warmup

    def total_iterations(self, iterations_per_epoch: int) -> int:
        """The number of optimizer steps in the whole run."""
        return self.length * iterations_per_epoch if self.counts_epochs else self.length

    def stretched_to(self, length: int) -> Schedule:
        """Returns the same schedule over another number of epochs (or iterations)."""
        scale = length / self.length
        momentum = self.momentum
        if momentum is not None:
            momentum = dataclasses.replace(momentum, policy=momentum.policy.stretched(scale))
        policy = self.policy.stretched(scale)
        return dataclasses.replace(self, length=length, policy=policy, momentum=momentum)

    def with_warmup_within(self, iterations: int, iterations_per_epoch: int) -> Schedule:
        """This schedule with warm-ups of at most ``iterations``, of learning rate and momentum."""
        momentum = self.momentum
        if momentum is not None:
            warmup = _within(momentum.warmup, iterations, iterations_per_epoch)
            momentum = dataclasses.replace(momentum, warmup=warmup)
        warmup = _within(self.warmup, iterations, iterations_per_epoch)
        return dataclasses.replace(self, warmup=warmup, momentum=momentum)


def _within(warmup: Warmup | None, iterations: int, iterations_per_epoch: int) -> Warmup | None:
    if warmup is None or warmup.in_iterations(iterations_per_epoch).iterations <= iterations:
        return warmup
    return dataclasses.replace(warmup, iterations=iterations, epochs=0)


def epochs(
    length: int,
    *,
    milestones: tuple[int, ...] | None = None,
    warmup: Warmup | None = Warmup(),  # noqa: B008 - frozen
) -> Schedule:
    """Builds the step schedule of ``length`` epochs that most of the zoo uses.

    The milestones default to two thirds and eleven twelfths of the length: 8 and 11 of 12 epochs,
    16 and 22 of 24.
    """
    if milestones is None:
        milestones = (round(length * 2 / 3), round(length * 11 / 12))
    return Schedule(length=length, policy=Step(milestones=milestones), warmup=warmup)


def iterations(
    length: int,
    *,
    milestones: tuple[int, ...],
    warmup: Warmup | None = Warmup(),  # noqa: B008 - frozen
) -> Schedule:
    """Builds the step schedule of ``length`` iterations."""
    return Schedule(
        length=length, unit="iterations", policy=Step(milestones=milestones), warmup=warmup
    )
