"""The plan of a run: what it does at which step."""

from __future__ import annotations

from dataclasses import dataclass

from detzoo.experiment import Experiment
from detzoo.optim.schedules import Schedule


@dataclass(frozen=True)
class Plan:
    """The recipe of ``experiment``, adapted to this run's batch size and length.

    ``lr_scale`` multiplies every learning rate of ``schedule``. Steps are counted from 0;
    ``checkpoint_steps`` and ``log_interval`` are in steps.
    """

    experiment: Experiment
    schedule: Schedule
    lr_scale: float
    steps_per_epoch: int
    checkpoint_steps: int | None = None
    log_interval: int = 20

    @property
    def steps(self) -> int:
        """The total number of steps."""
        return self.schedule.total_iterations(self.steps_per_epoch)

    def rate_factor(self, step: int) -> float:
        """The factor on the optimizer's initial learning rates at ``step``."""
        return self.lr_scale * self.schedule.factor(step, self.steps_per_epoch)

    def momentum(self, step: int) -> float | None:
        """The optimizer's momentum at ``step``; None: as it was built."""
        momentum = self.experiment.optimizer.scheduled_momentum
        if self.schedule.momentum is None or momentum is None:
            return None
        return momentum * self.schedule.momentum_factor(step, self.steps_per_epoch)

    def is_final(self, step: int) -> bool:
        """Whether ``step`` is in the recipe's final epochs."""
        first = self.experiment.final_epoch
        return first is not None and step >= first * self.steps_per_epoch

    def logs_after(self, done: int) -> bool:
        """Whether averages are logged after ``done`` steps."""
        return done % self.log_interval == 0

    def evaluates_after(self, done: int) -> bool:
        """Whether an evaluation is due after ``done`` steps."""
        every = self.experiment.evaluate_every
        if self.experiment.final is not None and self.is_final(done - 1):
            every = self.experiment.final.evaluate_every
        return done == self.steps or done % (every * self._unit) == 0

    def saves_after(self, done: int) -> bool:
        """Whether a checkpoint is due after ``done`` steps."""
        if self.checkpoint_steps is not None and done % self.checkpoint_steps == 0:
            return True
        return done == self.steps or done % (self.experiment.checkpoint_every * self._unit) == 0

    @property
    def _unit(self) -> int:
        """Steps per unit of the schedule."""
        return self.steps_per_epoch if self.schedule.counts_epochs else 1


def fit_recipe(
    experiment: Experiment, steps_per_epoch: int, processes: int, scale_learning_rate: bool
) -> tuple[Plan, list[str]]:
    """Adapts the recipe to this run's batch size and length; also returns notes on the changes.

    The learning rate is scaled linearly with the batch size (https://arxiv.org/abs/1706.02677); the
    warm-up takes at most a tenth of the run.
    """
    notes = []
    batch = experiment.data.images_per_device * processes * experiment.accumulate
    reference = experiment.reference_batch if scale_learning_rate else None
    scale = 1.0 if reference is None else batch / reference
    if scale != 1:
        rate = experiment.optimizer.lr
        notes.append(
            f"learning rate {rate:g} -> {rate * scale:g}: {batch} images per step, where the "
            f"recipe has {reference} (--no-lr-scaling keeps it)"
        )
    steps = experiment.schedule.total_iterations(steps_per_epoch)
    longest = max(1, steps // 10)
    schedule = experiment.schedule.with_warmup_within(longest, steps_per_epoch)
    if schedule != experiment.schedule:
        notes.append(f"warm-up shortened to {longest} steps, a tenth of this run's {steps}")
    return Plan(experiment, schedule, scale, steps_per_epoch), notes
