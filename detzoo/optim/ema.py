"""Exponential moving average of a model's weights."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from detzoo.config import NonNegativeInt, PositiveInt, PositiveUnitFloat, config


@config
class EMAConfig:
    """Exponential moving average (EMA) of the weights, which is evaluated and saved for inference.

    Args:
        momentum: Weight of the current weights in each update; the average keeps the rest.
        warmup: Steps within which the momentum reaches its value; 0: it is constant.
        kind: How it does: "exponential": it decays from 1; "linear": it grows from one over
            ``warmup``, with ever smaller steps.
        every: Steps between updates.
        averages_buffers: Whether running statistics are averaged, too, not only parameters.
    """

    momentum: PositiveUnitFloat = 0.0001
    warmup: NonNegativeInt = 2000
    kind: Literal["exponential", "linear"] = "exponential"
    every: PositiveInt = 1
    averages_buffers: bool = True

    def momentum_at(self, step: int) -> float:
        """The momentum of the given step, counted from 0."""
        if self.warmup == 0:
            return self.momentum
        if self.kind == "linear":
            return min(self.momentum, (1 + step) / (self.warmup + step))
        return (1 - self.momentum) * math.exp(-(1 + step) / self.warmup) + self.momentum

    def build(self, model: nn.Module) -> WeightAverage:
        """Creates an average, initialized with the weights of ``model``."""
        return WeightAverage(self, model)


class WeightAverage:
    """The average of a model's parameters and floating-point buffers, under their own names.

    What is not averaged is that of the model, as of the last update.
    """

    def __init__(self, config: EMAConfig, model: nn.Module) -> None:
        self.config = config
        self.steps = 0
        self.average = {name: value.clone() for name, value in model.state_dict().items()}
        buffers = {name for name, _ in model.named_buffers(remove_duplicate=False)}
        # Counters, such as the number of batches that a norm has seen, are never averaged.
        self._averaged = {
            name
            for name, value in self.average.items()
            if value.is_floating_point() and (config.averages_buffers or name not in buffers)
        }

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Updates the average with the weights after an optimizer step."""
        momentum = self.config.momentum_at(self.steps)
        self.steps += 1
        is_due = self.steps % self.config.every == 0
        averages: list[Tensor] = []
        values: list[Tensor] = []
        for name, value in model.state_dict().items():
            if name not in self._averaged:
                self.average[name].copy_(value)
            elif is_due:
                averages.append(self.average[name])
                values.append(value)
        if averages:
            torch._foreach_lerp_(averages, values, momentum)

    @torch.no_grad()
    def swap(self, model: nn.Module) -> None:
        """Exchanges the model's weights and their average; a second call exchanges them back."""
        for name, value in model.state_dict().items():
            weight = value.clone()
            value.copy_(self.average[name])
            self.average[name].copy_(weight)
