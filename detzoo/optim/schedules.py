"""Learning-rate schedules: pure functions from the steps taken to a factor of the rate."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from typing import Literal

from detzoo.config import ConfigError, config


@config
class Policy(ABC):
    """How the rate falls over a run, warm-up apart."""

    @abstractmethod
    def factor(self, progress: float, length: int, step: float) -> float:
        """The factor after ``progress`` of ``length``, in an iteration of length ``step``: all in
        the schedule's unit."""

    def stretched(self, scale: float) -> Policy:
        """The same course over a run that is ``scale`` times as long."""
        return self


@config
class Step(Policy):
    """Multiplies the rate by ``gamma`` at each milestone, counted in the schedule's unit."""

    milestones: tuple[int, ...] = (8, 11)
    gamma: float = 0.1

    def factor(self, progress: float, length: int, step: float) -> float:
        passed = sum(progress >= milestone for milestone in self.milestones)
        return self.gamma**passed

    def stretched(self, scale: float) -> Step:
        milestones = tuple(max(1, round(milestone * scale)) for milestone in self.milestones)
        return dataclasses.replace(self, milestones=milestones)


@config
class Cosine(Policy):
    """Half a cosine from 1 to ``final_factor``. https://arxiv.org/abs/1608.03983"""

    final_factor: float = 0.0
    # Whether the rate also falls within an epoch.
    per_iteration: bool = False

    def factor(self, progress: float, length: int, step: float) -> float:
        done = (progress if self.per_iteration else math.floor(progress)) / length
        return self.final_factor + (1 - self.final_factor) * (1 + math.cos(math.pi * done)) / 2


@config
class Poly(Policy):
    """``(1 - progress / length) ** power``, from 1 to ``final_factor``."""

    power: float = 1.0
    final_factor: float = 0.0
    # Whether the rate also falls within an epoch.
    per_iteration: bool = False

    def factor(self, progress: float, length: int, step: float) -> float:
        done = (progress if self.per_iteration else math.floor(progress)) / length
        return self.final_factor + (1 - self.final_factor) * (1 - done) ** self.power


@config
class YOLOXCosine(Policy):
    """Rises with the square of the iterations during ``warmup``, falls along half a cosine to
    ``final_factor``, and stays there for the last ``flat`` of the run: both in the schedule's unit.

    https://arxiv.org/abs/2107.08430
    """

    warmup: int = 5
    flat: int = 15
    final_factor: float = 0.05

    def factor(self, progress: float, length: int, step: float) -> float:
        done = progress + step  # this iteration included
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
    """A lower rate during the first ``iterations``: rising from ``ratio`` of it, or constant."""

    iterations: int = 500
    ratio: float = 0.001
    kind: Literal["linear", "constant"] = "linear"

    def factor(self, iteration: int) -> float:
        """What the policy's rate is multiplied with at ``iteration``, counted from 0."""
        if iteration >= self.iterations:
            return 1.0
        if self.kind == "constant":
            return self.ratio
        return 1 - (1 - iteration / self.iterations) * (1 - self.ratio)


@config
class Schedule:
    """How long training lasts and how the learning rate changes meanwhile.

    ``length`` counts epochs or iterations, and so do the milestones of the policy and the
    intervals of evaluation and checkpoints. An iteration is one step of the optimizer.
    """

    length: int = 12
    unit: Literal["epochs", "iterations"] = "epochs"
    policy: Policy = Step()
    warmup: Warmup | None = Warmup()

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ConfigError(f"length: {self.length} is not at least 1")

    @property
    def counts_epochs(self) -> bool:
        return self.unit == "epochs"

    def factor(self, iteration: int, iterations_per_epoch: int) -> float:
        """What the learning rate is multiplied with in the given iteration, counted from 0."""
        progress = iteration / iterations_per_epoch if self.counts_epochs else float(iteration)
        warmup = 1.0 if self.warmup is None else self.warmup.factor(iteration)
        step = 1 / iterations_per_epoch if self.counts_epochs else 1.0
        return warmup * self.policy.factor(progress, self.length, step)

    def total_iterations(self, iterations_per_epoch: int) -> int:
        """Optimizer steps of the whole run."""
        return self.length * iterations_per_epoch if self.counts_epochs else self.length

    def stretched_to(self, length: int) -> Schedule:
        """The same course over another number of epochs (or iterations)."""
        policy = self.policy.stretched(length / self.length)
        return dataclasses.replace(self, length=length, policy=policy)

    def with_warmup_within(self, iterations: int) -> Schedule:
        """This schedule with a warm-up of at most ``iterations``."""
        if self.warmup is None or self.warmup.iterations <= iterations:
            return self
        return dataclasses.replace(
            self, warmup=dataclasses.replace(self.warmup, iterations=iterations)
        )


def epochs(
    length: int,
    *,
    milestones: tuple[int, ...] | None = None,
    warmup: Warmup | None = Warmup(),  # noqa: B008 - frozen
) -> Schedule:
    """The step schedule of ``length`` epochs that most of the zoo uses.

    Milestones left out are those that belong to the length: 8 and 11 of 12 epochs, 16 and 22 of 24,
    in general two thirds and eleven twelfths.
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
    """The step schedule of ``length`` iterations."""
    return Schedule(
        length=length, unit="iterations", policy=Step(milestones=milestones), warmup=warmup
    )
