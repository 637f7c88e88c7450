"""Learning rate schedules that rise and fall with every iteration."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from detzoo.config import PositiveFloat, PositiveInt, Range, config
from detzoo.optim.schedules import Policy

Kind = Literal["cosine", "linear"]
Part = Annotated[float, Range(0, 1, above=True, below=True)]


def _between(start: float, end: float, part: float, kind: Kind) -> float:
    """The value after ``part`` of the way from ``start`` to ``end``."""
    if kind == "cosine":
        part = (1 - math.cos(math.pi * part)) / 2
    return start + (end - start) * part


@config
class OneCycle(Policy):
    """One rise and one fall (super-convergence, https://arxiv.org/abs/1708.07120), as in
    :class:`torch.optim.lr_scheduler.OneCycleLR`.

    Args:
        peak: Factor of the learning rate at the top.
        rise: Part of the run in which the learning rate rises.
        start_divisor: The learning rate at the top divided by the one at the start.
        final_divisor: The learning rate at the start divided by the one at the end.
        kind: Shape of the rise and the fall.
        symmetric: Whether the learning rate falls to its start as slowly as it has risen, and only
            then to its end.
    """

    peak: PositiveFloat = 1.0
    rise: Part = 0.3
    start_divisor: PositiveFloat = 25.0
    final_divisor: PositiveFloat = 1e4
    kind: Kind = "cosine"
    symmetric: bool = False

    def factor(self, progress: float, length: float, step: float) -> float:
        iteration, total = round(progress / step), round(length / step)
        low = self.peak / self.start_divisor
        last = low / self.final_divisor
        ends = [(self.rise * total - 1, self.peak), (total - 1, last)]
        if self.symmetric:
            ends.insert(1, (2 * self.rise * total - 2, low))
        begin, start = 0.0, low
        for end, target in ends:
            if iteration <= end:
                part = (iteration - begin) / (end - begin) if end > begin else 1.0
                return _between(start, target, part, self.kind)
            begin, start = end, target
        return last


@config
class Cyclic(Policy):
    """Cycles of a rise and a fall (https://arxiv.org/abs/1506.01186).

    Args:
        peak: Factor of the learning rate at the top of the first cycle.
        final_factor: Factor of the learning rate at the end of each cycle.
        cycles: Number of cycles in the run.
        rise: Part of each cycle in which the learning rate rises.
        gamma: Factor of how far each top is above the learning rate, from each cycle to the next.
        kind: Shape of the rises and falls.
    """

    peak: PositiveFloat = 10.0
    final_factor: PositiveFloat = 1e-4
    cycles: PositiveInt = 1
    rise: Part = 0.4
    gamma: PositiveFloat = 1.0
    kind: Kind = "cosine"

    def factor(self, progress: float, length: float, step: float) -> float:
        iteration = round(progress / step)
        cycle = max(round(length / step) // self.cycles, 1)
        number, passed = divmod(iteration, cycle)
        rise = int(self.rise * cycle)
        top = 1 + (self.peak - 1) * self.gamma**number
        if passed < rise:
            return _between(1.0, top, passed / rise, self.kind)
        return _between(top, self.final_factor, (passed - rise) / (cycle - rise), self.kind)
